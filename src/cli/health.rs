//! `msgstream health`: whether a broker answers.

use std::time::Instant;

use tokio::time::timeout;

use crate::client::{ClientError, Options};
use crate::wire::refusal::CUT_OFF;
use crate::wire::units::Span;

use super::broker::{Broker, block_on, limit};
use super::exit::{Exit, Failure, Outcome};
use super::standard::print;

/// Tell whether the broker answers
///
/// Connects, sends a ping and waits for its answer, which comes from the part of the broker that every message passes. For the probes of
/// containers, and for scripts that wait for a broker.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// How long the broker may take in all, such as 500ms or 5s
    #[arg(long, value_name = "TIME", value_parser = limit, default_value = "2s")]
    timeout: Span,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream health
  msgstream health --server broker.example --timeout 500ms
  until msgstream health; do sleep 1; done     wait for a broker

Exit codes:
   0  the broker answers
  64  the command line cannot be understood
  69  the broker cannot be reached, or the connection was lost
  77  the broker turned this client away, has no room for it, or is a node that does not hear the others: it is alive
  78  the configuration of clients cannot be used
 124  the time was up";

/// Runs the subcommand.
pub(crate) fn run(args: Args) -> Outcome {
    let Span(time) = args.timeout;
    block_on(async move {
        let asked = Instant::now();
        let answered = timeout(time, async {
            // The whole has its limit.
            let remote = args.broker.connect(Options::default().connect_time(time.saturating_mul(2))).await?;
            remote.flush().await.map_err(|error| match error {
                // Whoever restarts what is dead must not restart this: those who have found room would lose it, and a node that does not
                // hear the others would not hear them sooner.
                ClientError::Lost(why) if why.ends_with("(limit)") || why.contains(CUT_OFF) => Failure::new(Exit::Refused, why),
                error => error.into(),
            })
        });
        let address = args.broker.address();
        match answered.await {
            Ok(answered) => answered?,
            Err(_) => return Err(Failure::new(Exit::Timeout, format!("{address} has not answered within {}", args.timeout))),
        }
        print(format!("{address} answers, after {:.1} ms\n", asked.elapsed().as_secs_f64() * 1000.0).as_bytes())?;
        Ok(Exit::Fine)
    })
}
