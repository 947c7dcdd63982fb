//! What a service says of itself, beside what is committed.

/// The element of an interface, without comments and indentation.
pub fn element_of(xml: &str, interface: &str) -> String {
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
