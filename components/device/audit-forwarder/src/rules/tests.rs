use super::*;

fn one(line: &str) -> Rule {
    let mut rules = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(rules.rules.len(), 1, "{line}");
    rules.rules.remove(0)
}

#[test]
fn lines_say_what_they_mean() {
    let rules = parse(
        "# comment\n\n-b 8192\n--backlog_wait_time 60000\n-f 1\n--loginuid-immutable\n\
         -a always,exit -F arch=b64 -S execve,execveat -F auid!=unset -k hf-exec\n-e 2\n",
    )
    .unwrap();
    assert_eq!((rules.backlog_limit, rules.backlog_wait_time), (Some(8192), Some(60_000)));
    assert_eq!((rules.failure, rules.enabled, rules.login_uid_immutable), (Some(1), Some(2), true));
    let [rule] = &rules.rules[..] else { panic!("{rules:?}") };
    assert_eq!((rule.line, rule.list, rule.is_recorded), (7, List::Exit, true));
    assert_eq!(rule.key(), Some("hf-exec"));
    assert_eq!(rule.number_of(Field::LoginUid), Some((Operator::NotEqual, u32::MAX)));
    #[cfg(target_arch = "x86_64")]
    assert_eq!(rule.syscalls, Some(vec![59, 322]));
}

#[test]
fn watches_are_of_files_and_of_folders() {
    let file = one("-w /etc/sudoers -p wa -k hf-sudo");
    assert_eq!(file.text_of(Field::Watch), Some("/etc/sudoers"));
    assert_eq!(file.number_of(Field::Perm), Some((Operator::Equal, 10)));
    assert_eq!(file.syscalls, None);
    let folder = one("-w /etc/sudoers.d/");
    assert_eq!(folder.text_of(Field::Directory), Some("/etc/sudoers.d"));
    assert_eq!(folder.number_of(Field::Perm), Some((Operator::Equal, 15)));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_kernel_gets_its_own_form() {
    let rule = one("-a always,exit -F arch=b64 -S openat -F path=/a -F exit=-EACCES -k k1");
    let bytes = rule.encode();
    let word =
        |index: usize| u32::from_ne_bytes(bytes[index * 4..index * 4 + 4].try_into().unwrap());
    // flags: AUDIT_FILTER_EXIT, action: AUDIT_ALWAYS, four fields.
    assert_eq!([word(0), word(1), word(2)], [4, 2, 4]);
    // openat is 257: bit 1 of word 8.
    assert_eq!((word(3 + 8), word(3 + 7)), (2, 0));
    let (fields, values, operators) = (3 + 64, 3 + 128, 3 + 192);
    assert_eq!(
        [word(fields), word(fields + 1), word(fields + 2), word(fields + 3)],
        [11, 105, 103, 210]
    );
    assert_eq!(
        [word(values), word(values + 1), word(values + 2), word(values + 3)],
        [0xC000_003E, 2, (-13i32).cast_unsigned(), 2]
    );
    assert_eq!(word(operators), 0x4000_0000);
    assert_eq!(word(3 + 256), 4);
    assert_eq!(&bytes[RULE_HEADER_LEN..], b"/ak1");
    let never = one("-A exclude,never -F msgtype=CWD").encode();
    assert_eq!(never[..8], [0x15, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(never[12..16], [0xff; 4]);
}

#[test]
fn bad_lines_are_named() {
    let table = [
        ("-x", "option \"-x\" is not known"),
        ("-b", "-b needs a value"),
        ("-f 3", "expected a number from 0 to 2"),
        ("-e 1 2", "option \"2\""),
        ("-a always", "not list and action"),
        ("-a always,task -S all", "not list and action"),
        ("-a exit,sometimes", "not list and action"),
        ("-a always,exit -S execve", "needs -F arch"),
        ("-a always,exit -F arch=b64 -S fly", "\"fly\" is not a system call"),
        ("-a always,exit -F arch=arm", "expected b64 or b32"),
        ("-a always,exit -F arch>b64", "cannot be compared with >"),
        ("-a always,exit -F auid", "not field, operator and value"),
        ("-a always,exit -F =5", "not field, operator and value"),
        ("-a always,exit -F auid=", "not field, operator and value"),
        ("-a always,exit -F colour=red", "field \"colour\""),
        ("-a always,exit -F uid=root", "expected a number"),
        ("-a always,exit -F exit=-EWHAT", "-EACCES"),
        ("-a always,exit -F path=etc", "absolute path"),
        ("-a always,user -S all", "list exit alone"),
        ("-w /etc -a always,exit", "two rules"),
        ("-w /etc -S all", "-w takes no -S"),
        ("-w etc", "absolute path"),
        ("-w /etc -p q", "'q' is not one of"),
        ("-w /etc -k a=b", "letters, digits"),
        ("-e 2\n-w /etc", "line 2: nothing can follow -e 2"),
    ];
    for (text, part) in table {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(part) && error.starts_with("line "), "{text}: {error}");
    }
}

#[test]
fn rules_that_would_drown_the_log_are_found() {
    let table = [
        ("-a always,exit -F arch=b64 -S execve -F auid!=unset -k k", true),
        ("-w /etc/passwd -p wa -k k", true),
        ("-w /etc/ -p wa -k k", true),
        ("-a always,exit -F arch=b64 -S openat -F exit=-EACCES -k k", true),
        ("-a always,exit -F arch=b64 -S openat -k k", false),
        ("-a always,exit -F arch=b64 -S read,write -F auid!=unset -k k", false),
        ("-a always,exit -k k", false),
        ("-a never,exit -F arch=b64 -S read", true),
        ("-a always,exclude -F msgtype=CWD", true),
    ];
    for (text, good) in table {
        let estimate = estimate(&parse(text).unwrap());
        assert_eq!(estimate.verdict == Verdict::Good, good, "{text}: {estimate:?}");
    }
}

#[test]
fn the_shipped_rules_are_good_and_closed() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../rootfs-overlay/usr/lib/holdfast/audit.rules"
    );
    let rules = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let estimate = estimate(&rules);
    assert_eq!(estimate.verdict, Verdict::Good, "{estimate:?}");
    assert_eq!((rules.enabled, rules.login_uid_immutable), (Some(2), true));
    for rule in rules.rules.iter().filter(|rule| rule.is_recorded && rule.list == List::Exit) {
        let key = rule.key().unwrap_or_default();
        assert!(
            holdfast_audit_log::kernel::RuleKey::from_name(key).is_some(),
            "line {}: key \"{key}\" gives its events no class",
            rule.line
        );
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "(-[awSFpkbef] ?[a-z0-9/=<>!,-]{0,20} ?){0,6}") {
        if let Ok(rules) = parse(&text) {
            for rule in &rules.rules {
                proptest::prop_assert!(rule.encode().len() >= RULE_HEADER_LEN);
            }
            estimate(&rules);
        }
    }
}
