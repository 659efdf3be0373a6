//! Writes metrics one family after the other, each whole: its name, what it means, and its values by their labels.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Unit;

/// Names and values.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// See the module.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    /// One count.
    pub(super) fn counter<N>(&mut self, name: &str, help: &str, value: N) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        self.one(name, help, &ConstCounter::new(value))
    }

    /// One level.
    pub(super) fn gauge<N>(&mut self, name: &str, help: &str, value: N) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        self.one(name, help, &ConstGauge::new(value))
    }

    /// Counts by labels.
    pub(super) fn counters<N: EncodeCounterValue, const L: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<L>, N)>,
    ) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        self.family(name, help, values.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value))))
    }

    /// Levels by labels.
    pub(super) fn gauges<N: EncodeGaugeValue, const L: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<L>, N)>,
    ) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        self.family(name, help, values.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))))
    }

    /// How values were distributed.
    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        self.one(name, help, histogram)
    }

    /// What does not change.
    pub(super) fn info<const L: usize>(&mut self, name: &str, help: &str, labels: Labels<L>) -> fmt::Result {
        self.one(name, help, &Info::new(labels))
    }

    fn one(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        let (name, unit) = split(name);
        metric.encode(self.0.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
    }

    fn family<M: EncodeMetric, const L: usize>(
        &mut self,
        name: &str,
        help: &str,
        metrics: impl Iterator<Item = (Labels<L>, M)>,
    ) -> fmt::Result
    where
        Labels<L>: EncodeLabelSet,
    {
        let (name, unit) = split(name);
        let mut metrics = metrics.peekable();
        let Some((_, first)) = metrics.peek() else { return Ok(()) };
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), first.metric_type())?;
        for (labels, metric) in metrics {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// A name without its unit, and that: OpenMetrics says the unit beside the name as well.
fn split(name: &str) -> (&str, Option<Unit>) {
    for unit in [Unit::Bytes, Unit::Seconds] {
        if let Some(name) = name.strip_suffix(unit.as_str()).and_then(|name| name.strip_suffix('_')) {
            return (name, Some(unit));
        }
    }
    (name, None)
}
