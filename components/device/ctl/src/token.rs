//! `holdfast token`.

use holdfast_ipc::identity::Identity1Proxy;
use serde::Serialize;
use zbus::Connection;

use crate::{Code, Failure, cli};

#[derive(Serialize)]
struct Token {
    token: String,
    expires: u64,
}

/// Prints a token: alone, so that a shell can take it.
pub(crate) async fn show(bus: &Connection, audience: &str, json: bool) -> Result<Code, Failure> {
    let (token, expires) = Identity1Proxy::new(bus).await?.get_token(audience).await?;
    if json {
        cli::print_json(&Token { token, expires })?;
    } else {
        cli::print(&token)?;
    }
    Ok(Code::Ok)
}
