//! A TCP forwarder between device and connector that can keep an answer back, so that a process
//! can be killed at a step that is over for one side and not for the other. It ends no TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Forwarder {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The answer to this flight of the client is kept back, counted from 1 per connection.
    hold: watch::Sender<Option<usize>>,
    holding: watch::Sender<bool>,
}

impl Forwarder {
    /// Forwards to a listener that may come and go.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { hold: watch::Sender::new(None), holding: watch::Sender::new(false) });
        let of_task = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&of_task);
                tokio::spawn(async move {
                    // A side that is gone ends the connection; the other side sees that.
                    let _ = relay(client, target, &shared).await;
                });
            }
        });
        Self { address, shared }
    }

    /// Keeps back what the server answers to the client's flight of this number.
    pub fn hold_answer(&self, flight: usize) {
        self.shared.holding.send_replace(false);
        self.shared.hold.send_replace(Some(flight));
    }

    /// Waits until an answer is kept back.
    pub async fn reached(&self) {
        let mut holding = self.shared.holding.subscribe();
        let reached = tokio::time::timeout(PATIENCE, holding.wait_for(|holding| *holding)).await;
        reached.expect("the step is not reached").unwrap();
    }

    /// Drops what was kept back, with its connection, and forwards everything again.
    pub fn release(&self) {
        self.shared.hold.send_replace(None);
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    let (mut flight, mut client_speaks) = (0, false);
    let (mut from_client, mut from_server) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                flight += usize::from(!client_speaks);
                client_speaks = true;
                server.write_all(&from_client[..length]).await?;
            }
            read = server.read(&mut from_server) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                client_speaks = false;
                let mut hold = shared.hold.subscribe();
                if hold.borrow_and_update().is_some_and(|held| flight >= held) {
                    shared.holding.send_replace(true);
                    let _ = hold.wait_for(Option::is_none).await;
                    return Ok(());
                }
                client.write_all(&from_server[..length]).await?;
            }
        }
    }
}
