//! Amounts of work on the wire: whole ones are written without a point, as other languages write their integers.

/// An amount that has to be there.
pub(super) mod there {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Above it not every whole number is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    pub(in crate::job::monitor) fn serialize<S: Serializer>(amount: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if amount.fract() == 0.0 && amount.abs() < EXACT {
            return serializer.serialize_i64(*amount as i64);
        }
        serializer.serialize_f64(*amount)
    }

    pub(in crate::job::monitor) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        f64::deserialize(deserializer)
    }
}

/// An amount that may be missing.
pub(super) mod optional {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::job::monitor) fn serialize<S: Serializer>(amount: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => super::there::serialize(amount, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::job::monitor) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Option::deserialize(deserializer)
    }
}
