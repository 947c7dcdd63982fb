use proptest::prelude::*;

use super::*;

fn problem(code: &str) -> Problem {
    Problem::new(code, format!("{code} happened"))
}

fn refused(code: &str) -> Event {
    Event::Refused { problem: problem(code), retry_after: None }
}

fn unreachable_server() -> Event {
    Event::Unreachable { problem: problem("server-unreachable"), retry_after: None }
}

fn approval(seconds: u64) -> Event {
    Event::ApprovalPending {
        problem: problem("approval-pending"),
        retry_after: Some(Duration::from_secs(seconds)),
    }
}

/// Draws the ceiling, so that waits in the tables are the curves' ceilings.
fn highest() -> f64 {
    1.0
}

const fn wait(seconds: u64) -> Action {
    Action::Wait(Duration::from_secs(seconds))
}

struct Row(Event, State, Action);

fn run(story: &str, rows: Vec<Row>) -> Machine {
    let mut machine = Machine::new();
    for (number, Row(event, state, action)) in rows.into_iter().enumerate() {
        let shown = format!("{story}, row {number}: {event:?}");
        assert_eq!(machine.step(event, &mut highest), action, "{shown}");
        assert_eq!(machine.state(), state, "{shown}");
    }
    machine
}

#[test]
fn first_boot() {
    let machine = run(
        "first boot",
        vec![
            Row(Event::Started, State::Uninitialised, Action::LoadSite),
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Nothing), State::Enrolling, Action::Enrol),
            Row(Event::Issued, State::Activating, Action::Confirm),
            Row(Event::Confirmed, State::Activating, Action::Promote),
            Row(Event::Promoted, State::Active, wait(990)),
            Row(Event::WaitOver, State::Active, Action::Confirm),
        ],
    );
    assert!(machine.online());
    assert_eq!(machine.problem(), None);
}

#[test]
fn active_without_a_network_stays_active() {
    let machine = run(
        "offline",
        vec![
            Row(Event::Started, State::Uninitialised, Action::LoadSite),
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Active), State::Active, Action::Confirm),
            Row(unreachable_server(), State::Active, wait(1)),
            Row(Event::WaitOver, State::Active, Action::Confirm),
            Row(unreachable_server(), State::Active, wait(1)),
        ],
    );
    assert!(!machine.online());
    assert_eq!(machine.problem().map(|p| p.code.as_str()), Some("server-unreachable"));
}

#[test]
fn an_unregistered_device_recovers_when_it_is_registered() {
    run(
        "unregistered",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Nothing), State::Enrolling, Action::Enrol),
            Row(refused("not_accepted"), State::Refused, wait(1)),
            Row(Event::WaitOver, State::Enrolling, Action::Enrol),
            Row(refused("not_accepted"), State::Refused, wait(2)),
            Row(Event::WaitOver, State::Enrolling, Action::Enrol),
            Row(approval(30), State::WaitingForApproval, wait(33)),
            Row(Event::WaitOver, State::Enrolling, Action::Enrol),
            Row(Event::Issued, State::Activating, Action::Confirm),
        ],
    );
}

#[test]
fn a_suspended_device_is_refused_until_it_is_resumed() {
    let machine = run(
        "suspended",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Active), State::Active, Action::Confirm),
            Row(refused("suspended"), State::Refused, wait(1)),
            Row(Event::WaitOver, State::Refused, Action::Confirm),
            Row(unreachable_server(), State::Refused, wait(1)),
            Row(Event::WaitOver, State::Refused, Action::Confirm),
            Row(Event::Confirmed, State::Active, wait(990)),
        ],
    );
    assert!(machine.online());
}

#[test]
fn a_certificate_that_is_no_longer_accepted_is_replaced() {
    run(
        "rejected",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Active), State::Active, Action::Confirm),
            Row(Event::CertificateRejected(problem("unknown")), State::Refused, wait(1)),
            Row(Event::WaitOver, State::Enrolling, Action::Enrol),
            Row(Event::Issued, State::Activating, Action::Confirm),
            Row(Event::CertificateRejected(problem("unknown")), State::Refused, wait(2)),
            Row(Event::WaitOver, State::Enrolling, Action::Enrol),
        ],
    );
}

#[test]
fn the_network_comes_and_goes_while_activating() {
    run(
        "activating",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Pending), State::Activating, Action::Confirm),
            Row(unreachable_server(), State::WaitingForNetwork, wait(1)),
            Row(Event::WaitOver, State::Activating, Action::Confirm),
            Row(Event::Confirmed, State::Activating, Action::Promote),
            Row(Event::Failed(problem("disk-full")), State::Faulted, wait(1)),
            Row(Event::WaitOver, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Pending), State::Activating, Action::Confirm),
        ],
    );
}

#[test]
fn site_and_faults() {
    let machine = run(
        "site",
        vec![
            Row(Event::Started, State::Uninitialised, Action::LoadSite),
            Row(Event::SiteUnusable(problem("site-missing")), State::WaitingForSite, wait(1)),
            Row(Event::WaitOver, State::WaitingForSite, Action::LoadSite),
            Row(Event::SiteUnusable(problem("site-missing")), State::WaitingForSite, wait(2)),
            Row(Event::WaitOver, State::WaitingForSite, Action::LoadSite),
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Broken(problem("foreign-tpm")), State::Faulted, Action::Rest),
        ],
    );
    assert_eq!(machine.problem().map(|p| p.code.as_str()), Some("foreign-tpm"));
}

#[test]
fn the_server_decides_when_it_is_overloaded() {
    let overloaded = Event::Unreachable {
        problem: problem("server-busy"),
        retry_after: Some(Duration::from_secs(100)),
    };
    run(
        "overloaded",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Nothing), State::Enrolling, Action::Enrol),
            Row(overloaded, State::WaitingForNetwork, wait(110)),
        ],
    );
}

#[test]
fn renewal_keeps_the_device_active() {
    let machine = run(
        "renewal",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Active), State::Active, Action::Confirm),
            Row(Event::RenewalDue, State::Active, Action::Renew),
            Row(unreachable_server(), State::Active, wait(1)),
            Row(Event::WaitOver, State::Active, Action::Confirm),
            Row(Event::RenewalDue, State::Active, Action::Renew),
            Row(refused("release-unknown"), State::Active, wait(2)),
            Row(Event::WaitOver, State::Active, Action::Confirm),
            Row(Event::RenewalDue, State::Active, Action::Renew),
            Row(Event::Issued, State::Active, Action::Confirm),
            Row(unreachable_server(), State::Active, wait(1)),
            Row(Event::WaitOver, State::Active, Action::Confirm),
            Row(Event::CertificateRejected(problem("unknown")), State::Active, wait(4)),
            Row(Event::WaitOver, State::Active, Action::Confirm),
            Row(Event::RenewalDue, State::Active, Action::Renew),
            Row(Event::Issued, State::Active, Action::Confirm),
            Row(Event::Confirmed, State::Active, Action::Promote),
            Row(Event::Promoted, State::Active, wait(990)),
        ],
    );
    assert_eq!(machine.holding(), Holding::Active);
    assert_eq!(machine.problem(), None);
}

#[test]
fn a_renewal_whose_certificate_is_not_taken_goes_on_by_endorsement_key() {
    let rejected = || Event::CertificateRejected(problem("certificate-superseded"));
    let machine = run(
        "renewal by endorsement key",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Active), State::Active, Action::Confirm),
            Row(Event::RenewalDue, State::Active, Action::Renew),
            Row(rejected(), State::Active, Action::Enrol),
            // Not for ever: who refuses both ways is asked again later.
            Row(rejected(), State::Active, wait(1)),
            Row(Event::WaitOver, State::Active, Action::Confirm),
            Row(Event::RenewalDue, State::Active, Action::Renew),
            Row(rejected(), State::Active, Action::Enrol),
            Row(Event::Issued, State::Active, Action::Confirm),
            Row(Event::Confirmed, State::Active, Action::Promote),
            Row(Event::Promoted, State::Active, wait(990)),
        ],
    );
    assert_eq!(machine.problem(), None);
}

#[test]
fn a_renewal_cut_short_goes_on_after_a_reboot() {
    run(
        "renewing",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Renewing), State::Active, Action::Confirm),
            Row(unreachable_server(), State::Active, wait(1)),
            Row(Event::WaitOver, State::Active, Action::Confirm),
            Row(Event::Confirmed, State::Active, Action::Promote),
            Row(Event::Promoted, State::Active, wait(990)),
        ],
    );
}

#[test]
fn an_ordered_renewal_runs_at_once_and_its_failure_changes_nothing() {
    let machine = run(
        "ordered renewal",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Active), State::Active, Action::Confirm),
            Row(Event::Confirmed, State::Active, wait(990)),
            Row(Event::Ordered(Order::Renew), State::Active, Action::Renew),
            Row(refused("release-unknown"), State::Active, wait(1)),
            Row(Event::Ordered(Order::Renew), State::Active, Action::Renew),
            Row(Event::Issued, State::Active, Action::Confirm),
            Row(unreachable_server(), State::Active, wait(1)),
            // The successor is held: it is tried, not replaced.
            Row(Event::Ordered(Order::Renew), State::Active, Action::Confirm),
            Row(Event::Confirmed, State::Active, Action::Promote),
            Row(Event::Promoted, State::Active, wait(990)),
        ],
    );
    assert_eq!(machine.problem(), None);
}

#[test]
fn an_ordered_enrolment_starts_from_wherever_the_device_waits() {
    run(
        "from active",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Active), State::Active, Action::Confirm),
            Row(Event::Confirmed, State::Active, wait(990)),
            Row(Event::Ordered(Order::ReEnroll), State::Active, Action::Enrol),
            Row(Event::Issued, State::Active, Action::Confirm),
            Row(Event::Confirmed, State::Active, Action::Promote),
            Row(Event::Promoted, State::Active, wait(990)),
        ],
    );
    let machine = run(
        "suspended with a certificate",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Active), State::Active, Action::Confirm),
            Row(refused("suspended"), State::Refused, wait(1)),
            Row(Event::Ordered(Order::ReEnroll), State::Refused, Action::Enrol),
            Row(refused("suspended"), State::Refused, wait(1)),
            Row(Event::WaitOver, State::Refused, Action::Confirm),
        ],
    );
    assert_eq!(machine.holding(), Holding::Active, "the certificate was lost");
    run(
        "refused without a certificate",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Nothing), State::Enrolling, Action::Enrol),
            Row(refused("not-accepted"), State::Refused, wait(1)),
            Row(Event::Ordered(Order::ReEnroll), State::Enrolling, Action::Enrol),
        ],
    );
    run(
        "with one that was never tried",
        vec![
            Row(Event::SiteLoaded, State::Preparing, Action::Prepare),
            Row(Event::Prepared(Holding::Pending), State::Activating, Action::Confirm),
            Row(unreachable_server(), State::WaitingForNetwork, wait(1)),
            Row(Event::Ordered(Order::ReEnroll), State::Enrolling, Action::Enrol),
        ],
    );
}

#[test]
fn orders_are_obeyed_where_they_can_be() {
    let reach = |events: &[Event]| {
        let mut machine = Machine::new();
        for event in events {
            machine.step(event.clone(), &mut highest);
        }
        machine
    };
    let prepared = |holding, more: &[Event]| {
        reach(&[&[Event::SiteLoaded, Event::Prepared(holding)], more].concat())
    };
    let broken = Event::Broken(problem("foreign-tpm"));
    let table = [
        (reach(&[Event::Started]), false, false),
        (reach(&[Event::SiteUnusable(problem("site-missing"))]), false, false),
        (reach(&[Event::SiteLoaded]), false, false),
        (reach(&[Event::SiteLoaded, broken]), false, false),
        (prepared(Holding::Nothing, &[unreachable_server()]), false, true),
        (prepared(Holding::Nothing, &[approval(9)]), false, true),
        (prepared(Holding::Pending, &[unreachable_server()]), false, true),
        (prepared(Holding::Active, &[refused("suspended")]), false, true),
        (prepared(Holding::Active, &[Event::Confirmed]), true, true),
        (prepared(Holding::Active, &[unreachable_server()]), true, true),
        (prepared(Holding::Renewing, &[unreachable_server()]), true, true),
    ];
    for (machine, renew, re_enroll) in table {
        let shown = format!("{} {:?}", machine.state(), machine.holding());
        assert_eq!(machine.may_obey(Order::Renew).is_ok(), renew, "{shown}");
        assert_eq!(machine.may_obey(Order::ReEnroll).is_ok(), re_enroll, "{shown}");
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let retry_after = proptest::option::of((0u64..1_000_000).prop_map(Duration::from_secs));
    let holding = prop_oneof![
        Just(Holding::Nothing),
        Just(Holding::Pending),
        Just(Holding::Active),
        Just(Holding::Renewing)
    ];
    prop_oneof![
        Just(Event::Started),
        Just(Event::SiteLoaded),
        Just(Event::SiteUnusable(problem("site"))),
        holding.prop_map(Event::Prepared),
        Just(Event::Failed(problem("failed"))),
        Just(Event::Broken(problem("broken"))),
        Just(Event::Issued),
        retry_after.clone().prop_map(|retry_after| Event::ApprovalPending {
            problem: problem("approval"),
            retry_after
        }),
        retry_after
            .clone()
            .prop_map(|retry_after| Event::Refused { problem: problem("refused"), retry_after }),
        Just(Event::CertificateRejected(problem("rejected"))),
        retry_after.prop_map(|retry_after| Event::Unreachable {
            problem: problem("unreachable"),
            retry_after
        }),
        Just(Event::Confirmed),
        Just(Event::RenewalDue),
        Just(Event::Promoted),
        Just(Event::WaitOver),
        Just(Event::Ordered(Order::Renew)),
        Just(Event::Ordered(Order::ReEnroll)),
    ]
}

proptest! {
    #[test]
    fn no_story_breaks_the_rules(
        events in proptest::collection::vec(any_event(), 0..64),
        draw in 0.0f64..1.0,
    ) {
        let mut machine = Machine::new();
        for event in events {
            let before = machine.state();
            let activating = matches!(
                event,
                Event::Prepared(Holding::Active | Holding::Renewing)
                    | Event::Promoted
                    | Event::Confirmed
                    | Event::RenewalDue
            );
            let action = machine.step(event, &mut || draw);
            if machine.state() == State::Active && before != State::Active {
                prop_assert!(activating, "active without an accepted certificate");
                let accepted = matches!(machine.holding(), Holding::Active | Holding::Renewing);
                prop_assert!(accepted, "active without an accepted certificate");
            }
            if let Action::Wait(wait) = action {
                prop_assert!(wait >= Duration::from_secs(1));
                prop_assert!(wait <= Duration::from_secs(27 * 3600));
            }
            if action == Action::Enrol {
                match machine.state() {
                    State::Active => prop_assert_eq!(machine.holding(), Holding::Active),
                    State::Enrolling => prop_assert_eq!(machine.holding(), Holding::Nothing),
                    // Ordered, while the certificate in use is refused or cannot be tried.
                    _ => prop_assert_eq!(machine.holding(), Holding::Active),
                }
            }
            if action == Action::Renew {
                prop_assert_eq!(machine.state(), State::Active);
                prop_assert_eq!(machine.holding(), Holding::Active);
            }
            if action == Action::Promote {
                let untried = matches!(machine.holding(), Holding::Pending | Holding::Renewing);
                prop_assert!(untried);
            }
            let troubled = matches!(
                machine.state(),
                State::Refused | State::Faulted | State::WaitingForNetwork
                    | State::WaitingForApproval | State::WaitingForSite
            );
            prop_assert!(!troubled || machine.problem().is_some(), "trouble without a reason");
        }
    }
}
