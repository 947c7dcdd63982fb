//! `holdfast-cloud alert …`

use super::Exit;
use super::arguments::{self, Connection};
use super::output::{Output, moment, table};
use crate::management::types::Items;
use crate::registry::Alert;

pub(super) async fn run(
    command: arguments::Alert,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let client = connection.client()?;
    match command {
        arguments::Alert::List { all, limit } => {
            let path = format!("/api/v1/alerts?all={all}&limit={limit}");
            let alerts: Items<Alert> = client.get(&path).await?;
            output.result(&alerts, |alerts| overview(&alerts.items))
        }
        arguments::Alert::Acknowledge { id } => {
            let path = format!("/api/v1/alerts/{id}/acknowledge");
            let alert: Alert = client.post(&path, &()).await?;
            output.result(&alert, |alert| format!("alert {} acknowledged", alert.id))
        }
    }
}

fn overview(alerts: &[Alert]) -> String {
    if alerts.is_empty() {
        return "no alerts".to_owned();
    }
    let rows: Vec<_> = alerts
        .iter()
        .map(|alert| {
            let event = &alert.event;
            [
                alert.id.to_string(),
                moment(alert.last_at),
                alert.count.to_string(),
                event.edge_id.clone().unwrap_or_default(),
                event.code.clone().unwrap_or_else(|| event.kind.clone()),
                alert.acknowledged_by.clone().unwrap_or_else(|| "open".to_owned()),
                event.detail.clone(),
            ]
        })
        .collect();
    table(["ALERT", "LAST", "TIMES", "EDGE ID", "WHAT", "STATE", "DETAIL"], &rows)
}
