//! `holdfast status --watch`: one block per change, for a console.

use std::collections::HashMap;

use futures_util::StreamExt;
use holdfast_ipc::identity::{BUS_NAME, INTERFACE, OBJECT_PATH};
use zbus::{
    Connection, MatchRule, Message, MessageStream, OwnedVariant,
    fdo::DBusProxy,
    message::Type,
    names::{BusName, MemberName},
};

use super::{block, now};
use crate::{Code, Failure, Snapshot, bus::PROPERTIES, checks, cli};

/// How the changes are printed.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// As JSON, one object per line.
    pub json: bool,
    /// With a report of all checks whenever the device has got as far as it can by itself.
    pub checks: bool,
}

/// Prints the state now and after every change of state or error, until the bus goes away. All
/// messages are read from one stream, so that they are seen in the order of the bus.
pub async fn watch(bus: &Connection, manner: Manner) -> Result<Code, Failure> {
    let mut messages = MessageStream::from(bus);
    let dbus = DBusProxy::new(bus).await?;
    let changed = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(BUS_NAME)
        .path(OBJECT_PATH)
        .interface(PROPERTIES)
        .build()?;
    dbus.add_match_rule(changed).await?;
    let owner_changed = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .arg(0, BUS_NAME)
        .build()?;
    dbus.add_match_rule(owner_changed).await?;

    let mut view = View::default();
    let owner = dbus.get_name_owner(BusName::try_from(BUS_NAME)?).await;
    let first = view.owner(owner.map(|name| name.to_string()).unwrap_or_default());
    step(bus, &mut view, first, manner).await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let next = view.see(&message);
        step(bus, &mut view, next, manner).await?;
    }
    Err(Failure::new(Code::Unreachable, "the system bus has closed the connection")
        .advise("It goes down with the system; otherwise: systemctl status dbus"))
}

/// What a message asks for.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Nothing,
    /// The service came: read everything.
    Read,
    /// The service went.
    Gone,
    /// Something worth a block.
    Print,
}

/// What is known so far.
#[derive(Default)]
struct View {
    /// Unique name of the service; empty while it does not run.
    owner: String,
    /// Serial number of the call that reads all properties, while it is under way.
    reading: Option<u32>,
    snapshot: Option<Snapshot>,
}

impl View {
    fn owner(&mut self, owner: String) -> Next {
        self.owner = owner;
        self.reading = None;
        self.snapshot = None;
        if self.owner.is_empty() { Next::Gone } else { Next::Read }
    }

    fn see(&mut self, message: &Message) -> Next {
        let header = message.header();
        let body = message.body();
        let sender = header.sender().map_or("", |sender| sender.as_str());
        match (header.message_type(), header.member().map(MemberName::as_str)) {
            (Type::Signal, Some("NameOwnerChanged")) if sender == "org.freedesktop.DBus" => {
                match body.deserialize::<(&str, &str, &str)>() {
                    Ok((BUS_NAME, _, new)) => self.owner(new.to_owned()),
                    _ => Next::Nothing,
                }
            }
            (Type::Signal, Some("PropertiesChanged")) if sender == self.owner => {
                let Ok((INTERFACE, changed, _)) =
                    body.deserialize::<(&str, HashMap<String, OwnedVariant>, Vec<String>)>()
                else {
                    return Next::Nothing;
                };
                self.changed(changed)
            }
            (Type::MethodReturn, _)
                if self.reading.is_some()
                    && header.reply_serial().map(std::num::NonZeroU32::get) == self.reading =>
            {
                self.reading = None;
                let mut snapshot = Snapshot::default();
                match body.deserialize().map(|properties| snapshot.apply(properties)) {
                    Ok(Ok(())) => {
                        self.snapshot = Some(snapshot);
                        Next::Print
                    }
                    _ => Next::Nothing,
                }
            }
            _ => Next::Nothing,
        }
    }

    fn changed(&mut self, changed: HashMap<String, OwnedVariant>) -> Next {
        // Before the first reading its answer will hold this change already.
        let Some(snapshot) = &mut self.snapshot else { return Next::Nothing };
        let before = snapshot.clone();
        if snapshot.apply(changed).is_err() {
            return Next::Nothing;
        }
        let news = before.state != snapshot.state
            || before.last_error != snapshot.last_error
            || before.edge_id != snapshot.edge_id
            || before.ek_sha256 != snapshot.ek_sha256;
        if news { Next::Print } else { Next::Nothing }
    }
}

async fn step(
    bus: &Connection,
    view: &mut View,
    next: Next,
    Manner { json, checks }: Manner,
) -> Result<(), Failure> {
    match next {
        Next::Nothing => Ok(()),
        Next::Read => {
            let call = Message::method_call(OBJECT_PATH, "GetAll")
                .destination(BUS_NAME)
                .interface(PROPERTIES)
                .build(&(INTERFACE,))?;
            view.reading = Some(call.primary_header().serial_num().get());
            Ok(bus.send(&call).await?)
        }
        Next::Gone if json => cli::print_json(&serde_json::json!({ "state": null })),
        Next::Gone => cli::print("\nThe identity service does not run yet; waiting for it."),
        Next::Print => {
            let Some(snapshot) = &view.snapshot else { return Ok(()) };
            if json {
                cli::print_json(snapshot)?;
            } else {
                cli::print(&format!("\n{}", block(snapshot, now())))?;
            }
            if checks && settled(&snapshot.state) {
                checks::print_all(bus, json).await?;
            }
            Ok(())
        }
    }
}

/// Whether the device has got as far as it can without somebody or something else.
fn settled(state: &str) -> bool {
    ["active", "refused", "waiting_for_approval", "waiting_for_site", "faulted"].contains(&state)
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    fn signal(sender: &str, state: &str) -> Message {
        let changed = HashMap::from([("State", Variant::from(state))]);
        Message::signal(OBJECT_PATH, PROPERTIES, "PropertiesChanged")
            .sender(sender)
            .build(&(INTERFACE, changed, &[] as &[&str]))
            .unwrap()
    }

    #[test]
    fn only_the_service_itself_is_believed() {
        let mut view = View { snapshot: Some(Snapshot::default()), ..View::default() };
        view.owner = ":1.5".into();
        assert_eq!(view.see(&signal(":1.6", "active")), Next::Nothing);
        assert_eq!(view.see(&signal(":1.5", "active")), Next::Print);
        assert_eq!(view.see(&signal(":1.5", "active")), Next::Nothing, "no change, no block");
        assert_eq!(view.snapshot.unwrap().state, "active");
    }

    #[test]
    fn the_service_comes_and_goes() {
        let owner = |new: &str| {
            Message::signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged")
                .sender("org.freedesktop.DBus")
                .build(&(BUS_NAME, "", new))
                .unwrap()
        };
        let mut view = View::default();
        assert_eq!(view.see(&owner(":1.7")), Next::Read);
        assert_eq!(view.see(&signal(":1.7", "active")), Next::Nothing, "nothing was read yet");
        assert_eq!(view.see(&owner("")), Next::Gone);
        assert_eq!(view.see(&signal(":1.7", "active")), Next::Nothing, "it is gone");
    }
}
