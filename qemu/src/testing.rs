/// Says why a test checks nothing on this machine; fails where every tool is expected.
pub(crate) fn left_out(reason: &str) {
    assert!(std::env::var_os("HOLDFAST_REQUIRE_TOOLS").is_none(), "needed here: {reason}");
    eprintln!("left out: {reason}");
}
