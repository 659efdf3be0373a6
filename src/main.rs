//! The `msgstream` program.

use msgstream::server::{Server, Settings};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7342".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()?;
    runtime.block_on(async {
        let server = Server::bind(&[listen.parse()?], &Settings::default())?;
        eprintln!("listening on {}", server.addresses()[0]);
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        server
            .run(
                async {
                    term.recv().await;
                },
                std::future::pending(),
            )
            .await?;
        Ok(())
    })
}
