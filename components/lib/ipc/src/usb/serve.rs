//! Everything that the daemon shows on the bus.

use std::sync::Arc;

use zbus::Connection;

use super::service::Service;
use super::usbguard_names::{self, DEVICES_PATH, POLICY_PATH, ROOT_PATH};
use super::{
    BUS_NAME, EventStream, OBJECT_PATH, Usb1, UsbBackend, Usbguard, UsbguardDevices, UsbguardPolicy,
};
use crate::Guard;

/// Puts the objects of both names on the bus, then takes the names, and tells events from now on.
pub async fn serve<B: UsbBackend>(
    connection: &Connection,
    backend: Arc<B>,
    guard: Guard,
    events: EventStream,
) -> zbus::Result<()> {
    let service = Service::new(backend, guard);
    let server = connection.object_server();
    server.at(OBJECT_PATH, Usb1(service.clone())).await?;
    server.at(ROOT_PATH, Usbguard(service.clone())).await?;
    server.at(POLICY_PATH, UsbguardPolicy(service.clone())).await?;
    server.at(DEVICES_PATH, UsbguardDevices(service)).await?;
    connection.request_name(BUS_NAME).await?;
    connection.request_name(usbguard_names::BUS_NAME).await?;
    tokio::spawn(events.announce(connection.clone()));
    Ok(())
}
