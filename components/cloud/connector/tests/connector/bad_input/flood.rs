//! One address asks without end; another one is served.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use holdfast_cloud::est::EnrolmentRates;
use holdfast_cloud::file_limit;
use http::StatusCode;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::Fixture;
use crate::support::device::{Device, NONCE, Tpm as _};
use crate::support::http::Dial;
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";
const FLOODER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
/// More than one address may have open.
const CONNECTIONS: usize = 1024 + 64;
/// For what takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn registered() -> (Fixture, Device<SoftwareTpm>) {
    let fixture = Fixture::start_with(EnrolmentRates::default()).await;
    fixture.publish_release().await;
    let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
    fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
    (fixture, device)
}

async fn connect_as_flooder(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((FLOODER, 0).into())?;
    socket.connect(address).await
}

#[tokio::test]
async fn requests_of_one_address_are_slowed_and_another_address_enrols() {
    let (fixture, device) = registered().await;
    let mut flooder = Dial::est(&fixture.server).from(FLOODER).connect().await.unwrap();
    let mut slowed = 0;
    for _ in 0..400 {
        let answer = flooder.post(NONCE, "{}").await;
        match answer.status {
            StatusCode::BAD_REQUEST => {}
            StatusCode::TOO_MANY_REQUESTS => {
                assert_eq!(answer.code(), "rate-limited");
                assert!(answer.headers.contains_key("retry-after"));
                slowed += 1;
            }
            other => panic!("{other}"),
        }
    }
    // The clock stands still: what is over the burst is slowed.
    assert_eq!(slowed, 400 - EnrolmentRates::default().source.burst);
    device.enrol(&fixture.server).await;
    // The flooder leaves no trace in the store.
    assert_eq!(fixture.last_event().await["kind"], "enrolled");
}

#[tokio::test]
async fn connections_of_one_address_are_bounded_and_another_address_enrols() {
    file_limit::raise();
    let (fixture, device) = registered().await;
    let address = fixture.server.endpoints().est;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(connect_as_flooder(address).await.unwrap());
    }
    // The last one is closed at once; the first ones only when their handshake takes too long.
    let mut last = open.pop().unwrap();
    let read = tokio::time::timeout(PATIENCE, last.read(&mut [0; 1])).await;
    assert!(!matches!(read.unwrap(), Ok(1..)), "a connection over the limit is served");
    device.enrol(&fixture.server).await;
    drop(open);
}
