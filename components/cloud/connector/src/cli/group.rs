//! `holdfast-cloud group …`

use super::Exit;
use super::arguments::{self, Connection};
use super::output::{Output, moment, table};
use crate::management::types::{Items, PutGroup};
use crate::registry::{Group, GroupName, Tenant};

pub(super) async fn run(
    command: arguments::Group,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let client = connection.client()?;
    match command {
        arguments::Group::Set { name, quote, tenant } => {
            let body = PutGroup { tenant, name, quote_policy: quote.into() };
            let group: Group = client.post("/api/v1/groups", &body).await?;
            output.result(&group, |group| overview(std::slice::from_ref(group)))
        }
        arguments::Group::List { tenant } => {
            let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
            let groups: Items<Group> = client.get(&format!("/api/v1/groups{query}")).await?;
            output.result(&groups, |groups| overview(&groups.items))
        }
        arguments::Group::Show { name, tenant } => {
            let group: Group = client.get(&path(&name, "", tenant.as_ref())).await?;
            output.result(&group, |group| overview(std::slice::from_ref(group)))
        }
        arguments::Group::Remove { name, tenant } => {
            let group: Group = client.post(&path(&name, "/remove", tenant.as_ref()), &()).await?;
            output.result(&group, |group| format!("{}  removed  {}", group.name, group.tenant))
        }
    }
}

fn path(name: &GroupName, verb: &str, tenant: Option<&Tenant>) -> String {
    let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
    format!("/api/v1/groups/{name}{verb}{query}")
}

fn overview(groups: &[Group]) -> String {
    let rows: Vec<_> = groups
        .iter()
        .map(|group| {
            [
                group.name.to_string(),
                group.quote_policy.as_str().to_owned(),
                group.devices.to_string(),
                group.tenant.to_string(),
                moment(group.changed_at),
                group.changed_by.clone(),
            ]
        })
        .collect();
    table(["GROUP", "QUOTE", "DEVICES", "TENANT", "CHANGED", "BY"], &rows)
}
