//! What a service says of itself, beside what is committed.

use std::path::Path;

use zbus::Connection;

/// Where an interface is, and which file of the image describes it.
pub struct Described<'a> {
    pub bus_name: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub file: &'a str,
}

/// Asks the service and compares its answer with the committed file.
pub async fn assert_as_committed(client: &Connection, described: &Described<'_>) {
    let Described { bus_name, path, interface, file } = *described;
    let introspectable = Some("org.freedesktop.DBus.Introspectable");
    let reply = client.call_method(Some(bus_name), path, introspectable, "Introspect", &());
    let introspected: String = reply.await.unwrap().body().deserialize().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../rootfs-overlay/usr/share/dbus-1/interfaces")
        .join(file);
    let committed = std::fs::read_to_string(&file).unwrap();
    assert_eq!(element_of(&introspected, interface), element_of(&committed, interface));
}

/// The element of an interface, without comments and indentation.
fn element_of(xml: &str, interface: &str) -> String {
    let name = format!("<interface name=\"{interface}\">");
    let start = xml.find(&name).expect("the interface is there");
    let end = xml[start..].find("</interface>").unwrap() + start;
    let mut element = xml[start..end].to_owned();
    while let Some(open) = element.find("<!--") {
        let close = element[open..].find("-->").unwrap() + open + 3;
        element.replace_range(open..close, "");
    }
    element.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}
