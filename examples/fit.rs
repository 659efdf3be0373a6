//! A fitting job that publishes how far it is: a damped fit of a decay to noisy points.
//!
//! Run a broker, watch, and fit:
//!
//! ```text
//! msgstream serve
//! msgstream listen fit                                        # or: cargo run --example listen -- fit
//! cargo run --example fit -- fit --steps 200 --pause 50ms
//! ```
//!
//! The job goes on whether a broker is there or not, and whoever joins late sees at once how far it is.
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use msgstream::client::{Backoff, Options, RemoteStream, ServerAddress, ServerAddresses};
use msgstream::job::monitor::{Complete, Improvement, Message, Progress, Start};
use msgstream::units::Span;
use serde_json::json;

/// Fit a decay to noisy points, and publish how it goes.
#[derive(Parser)]
struct Args {
    /// The stream to publish to
    #[arg(default_value = "fit")]
    stream: String,
    /// Steps of the fit
    #[arg(long, default_value_t = 100)]
    steps: u32,
    /// A pause after each step, so that there is something to watch
    #[arg(long, default_value = "20ms")]
    pause: Span,
    /// The broker
    #[arg(long, env = "MSGSTREAM_SERVER", default_value = ServerAddress::DEFAULT)]
    server: ServerAddresses,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let broker = RemoteStream::start(args.server, Options::default().reconnect(Backoff::default()));
    let job = args.stream.as_str();

    let start = Start::new("exponential decay").of(f64::from(args.steps)).units("steps");
    broker.put_with_header(job, &Message::from(start.clone()), &Message::from(start.join(0.0))).await?;

    let points: Vec<(f64, f64)> = (0..50).map(|i| f64::from(i) / 10.0).map(|t| (t, 3.0 * (-0.7 * t).exp() + noise(t))).collect();
    let (mut amplitude, mut rate, mut best) = (1.0, 0.1, f64::INFINITY);
    for step in 1..=args.steps {
        (amplitude, rate) = improve(&points, amplitude, rate);
        let chisq = misfit(&points, amplitude, rate);
        if chisq < best * 0.999 {
            best = chisq;
            let mut improvement = Improvement::new(chisq);
            improvement.more.insert("amplitude".to_owned(), json!(amplitude));
            improvement.more.insert("rate".to_owned(), json!(rate));
            broker.put(job, &Message::from(improvement)).await?;
        }
        let k = f64::from(step);
        // The message and the header in one step: whoever joins sees each step exactly once.
        let progress = Progress::new(k).text(format!("chisq {chisq:.4}"));
        broker.put_with_header(job, &Message::from(progress), &Message::from(start.join(k))).await?;
        tokio::time::sleep(args.pause.0).await;
    }

    let complete = Message::from(Complete::new(json!({ "amplitude": amplitude, "rate": rate, "chisq": best })));
    broker.put_with_header(job, &complete, &complete).await?;
    broker.close(job).await?;
    println!("amplitude {amplitude:.3}, rate {rate:.3}");
    // The result is printed already: a broker that is not there must not keep the program.
    match tokio::time::timeout(Duration::from_secs(5), broker.flush()).await {
        Ok(flushed) => Ok(flushed?),
        Err(_) => bail!("the broker does not know of the result"),
    }
}

/// The sum of squares that the fit makes small.
fn misfit(points: &[(f64, f64)], amplitude: f64, rate: f64) -> f64 {
    points.iter().map(|(t, y)| (y - amplitude * (-rate * t).exp()).powi(2)).sum()
}

/// One damped step of Gauss and Newton.
fn improve(points: &[(f64, f64)], amplitude: f64, rate: f64) -> (f64, f64) {
    let (mut aa, mut ar, mut rr, mut ga, mut gr) = (1e-9, 0.0, 1e-9, 0.0, 0.0);
    for (t, y) in points {
        let decay = (-rate * t).exp();
        let (by_amplitude, by_rate, residual) = (decay, -amplitude * t * decay, y - amplitude * decay);
        aa += by_amplitude * by_amplitude;
        ar += by_amplitude * by_rate;
        rr += by_rate * by_rate;
        ga += by_amplitude * residual;
        gr += by_rate * residual;
    }
    let determinant = aa * rr - ar * ar;
    let damping = 0.1;
    (amplitude + damping * (rr * ga - ar * gr) / determinant, rate + damping * (aa * gr - ar * ga) / determinant)
}

/// The same in every run.
fn noise(t: f64) -> f64 {
    ((t * 12.9898).sin() * 43_758.547).fract() * 0.1
}
