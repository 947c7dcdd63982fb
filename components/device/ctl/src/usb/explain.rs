//! `holdfast usb explain`.

use holdfast_audit_log::show::quoted;
use holdfast_ipc::usb::{Explanation, RuleCheck, Usb1Proxy};

use super::arguments::DeviceName;
use super::{failed, list};
use crate::service::Service;
use crate::text::field;
use crate::{Code, Failure, cli};

const LABEL: usize = 12;

pub(super) async fn show(
    usb: &Usb1Proxy<'_>,
    device: &DeviceName,
    json: bool,
) -> Result<Code, Failure> {
    let answer = usb.explain(device.number(usb).await?).await;
    let text = answer.map_err(|error| failed(error, "`holdfast usb list` shows what is there."))?;
    let explanation: Explanation =
        serde_json::from_str(&text).map_err(|error| Service::USB.odd(&error))?;
    if json {
        cli::print_json(&explanation)?;
    } else {
        cli::print(&block(&explanation))?;
    }
    Ok(Code::Ok)
}

fn block(Explanation { device, rules }: &Explanation) -> String {
    let name = format!("{} ({}) {} {}", device.id, device.device, device.usb_id, device.name);
    let mut lines = vec![
        field("Device", LABEL, &quoted(&name)),
        field("Target", LABEL, &list::target(&device.target, device.observed)),
        field("Reason", LABEL, &list::reason(device)),
    ];
    lines.extend(rules.iter().map(check));
    if !rules.iter().any(|rule| rule.applies) {
        lines.push(field("Rules", LABEL, "none applies"));
    }
    lines.join("\n")
}

/// A rule, whether it applies, and under it why not.
fn check(rule: &RuleCheck) -> String {
    let verdict = if rule.applies { "applies" } else { "does not apply" };
    let label = format!("Rule {}", rule.id);
    let mut lines = vec![field(&label, LABEL, &format!("{verdict}: {}", rule.rule))];
    let mismatches = rule.mismatches.iter().map(|mismatch| field("", LABEL, mismatch));
    lines.extend(mismatches);
    let conditions = rule.conditions.iter().map(|condition| {
        field("", LABEL, &format!("condition {}: {}", condition.condition, condition.holds))
    });
    lines.extend(conditions);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use holdfast_ipc::usb::ConditionReport;

    use super::super::fixture::stick;
    use super::*;

    #[test]
    fn each_rule_says_why_it_does_not_apply() {
        let condition =
            ConditionReport { condition: "localtime(08:00-17:00)".into(), holds: "false".into() };
        let check = |id, rule: &str, applies| RuleCheck {
            id,
            rule: rule.into(),
            applies,
            mismatches: Vec::new(),
            conditions: Vec::new(),
        };
        let serial = "serial: the rule wants \"1\", the device has \"4C53\"".to_owned();
        let rules = vec![
            RuleCheck { mismatches: vec![serial], ..check(1, "allow serial \"1\"", false) },
            RuleCheck {
                conditions: vec![condition],
                ..check(2, "allow if localtime(08:00-17:00)", false)
            },
            check(4, "block", true),
        ];
        let mut explanation = Explanation { device: stick(), rules };
        assert_eq!(
            block(&explanation),
            "Device      7 (1-2.3) 0781:5583 Ultra\\u{1b}[2J\\nFit\n\
             Target      block\n\
             Reason      implicit\n\
             Rule 1      does not apply: allow serial \"1\"\n\
             \x20           serial: the rule wants \"1\", the device has \"4C53\"\n\
             Rule 2      does not apply: allow if localtime(08:00-17:00)\n\
             \x20           condition localtime(08:00-17:00): false\n\
             Rule 4      applies: block"
        );
        explanation.rules.pop();
        assert!(block(&explanation).ends_with("\nRules       none applies"));
    }
}
