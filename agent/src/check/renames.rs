//! Checks whether each rename rule can have an effect.

use super::{Report, RowState};
use crate::config::{Rename, ineffective_renames};

/// Makes the rows `rename rules`; none if there are no rules.
pub(super) fn check(report: &mut Report, rules: &[Rename]) {
    let ineffective = ineffective_renames(rules);
    for (index, reason) in &ineffective {
        let Rename { name, to } = &rules[*index];
        let finding = format!("containers.rename {name:?} to {to:?} has no effect: {reason}");
        report.row("rename rules", RowState::Degraded, finding);
    }
    if !rules.is_empty() && ineffective.is_empty() {
        report.ok("rename rules", format!("{} rules; each can have an effect", rules.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_effect_is_reported_as_degraded() {
        let rule = |name: &str, to: &str| Rename { name: name.into(), to: to.into() };
        let checked = |rules: &[Rename]| {
            let mut report = Report::default();
            check(&mut report, rules);
            report
        };
        assert!(checked(&[]).rows().is_empty());
        let good = [rule("studio_*", "*")];
        assert_eq!(checked(&good).verdict(), RowState::Ok);
        let report = checked(&[good[0].clone(), rule("studio_a", "b")]);
        assert_eq!((report.verdict(), report.rows().len()), (RowState::Degraded, 1));
        assert!(report.rows()[0].finding.contains("studio_a"), "{report}");
    }
}
