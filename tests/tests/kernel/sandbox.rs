//! The restrictions that the agent puts on itself: which of them this kernel has, and that everything works under them.

use glassbox::{
    check::{Report, RowState},
    sandbox::Sandbox,
};

use super::{probe::ALONE, starts::config};

/// True if this kernel has Landlock: landlock_create_ruleset(2) reports its version.
fn has_landlock() -> bool {
    const VERSION: u32 = 1;
    // SAFETY: with this flag, the call takes no pointer.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, VERSION) > 0 }
}

#[test]
fn everything_works_under_the_agent_s_restrictions() {
    let _alone = ALONE.lock();
    // A thread of its own, because the restrictions last as long as the thread.
    std::thread::spawn(|| {
        let states = |sandbox: Option<&Sandbox>| -> Vec<(String, Option<String>, RowState)> {
            let report = Report::of(&config(), sandbox);
            report.rows().iter().map(|row| (row.subject.clone(), row.detail.clone(), row.state)).collect()
        };
        let before = states(None);
        // Not later: the filter denies the question.
        let landlock = if has_landlock() { RowState::Ok } else { RowState::NotApplicable };
        let sandbox = Sandbox::enter(&config());
        let (restrictions, after): (Vec<_>, Vec<_>) =
            states(Some(&sandbox)).into_iter().partition(|(subject, ..)| subject.starts_with("sandbox "));
        assert_eq!(before, after);
        let expected = [
            ("sandbox capabilities", RowState::Ok),
            ("sandbox no_new_privs", RowState::Ok),
            ("sandbox seccomp", RowState::Ok),
            ("sandbox landlock", landlock),
        ];
        let found: Vec<_> =
            restrictions.iter().map(|(subject, _, state)| (subject.as_str(), *state)).collect();
        assert_eq!(found, expected, "{:?}", sandbox.outcomes());
    })
    .join()
    .unwrap();
}
