//! docs/cadvisor.md is generated from the tables.

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

use glassbox_tests::conformance::table::{differences, left_out, rows};

const INTRODUCTION: &str = "\
# Migrating from cAdvisor

This file is generated from tests/conformance/, which is tested with real containers. To update it:

    GLASSBOX_BLESS=1 cargo test --workspace --test conformance page

glassbox exports cAdvisor's families with cAdvisor's names, types and labels at `/metrics`, and only these at
`/metrics/cadvisor`. Point cAdvisor's scrape job there, and its dashboards and rules continue to work. Note:

- **Unknown is absent.** If a file does not exist, cAdvisor reports 0 and glassbox reports nothing. A panel that adds up
  series shows the same; a comparison with `== 0` does not.
- **Containers only.** cAdvisor also exports systemd's services and slices, unless it is started with `--docker_only`.
- **No timestamps** and no `restartcount` label. A container that restarts continues its series.
- **Disk usage of a container** is exported if the filesystem or the runtime reports it. Docker containers without a quota
  have no `container_fs_usage_bytes` unless `disk.walk` is on, because it takes a walk through all their files.
";

#[test]
fn the_page_for_users_of_cadvisor_is_up_to_date() {
    let mut page = String::from(INTRODUCTION);
    let families: BTreeSet<_> = rows().iter().map(|row| row.family).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "\n## The same in both\n\n{} families; docs/metrics.md lists them in its first section. Off by default: \
         `container_hugetlb_*` (`cgroup.hugetlb`), `container_memory_numa_pages` (`cgroup.numa`).",
        families.len()
    );
    page.push_str("\n## Intended differences\n\n| family | what | why |\n|---|---|---|\n");
    for [family, what, why] in differences() {
        let family = if family == "*" { "all".to_owned() } else { format!("`{family}`") };
        let what = what.strip_suffix('_').map_or_else(|| what.to_owned(), |what| format!("{what}_*"));
        let _ = writeln!(page, "| {family} | {what} | {why} |");
    }
    page.push_str("\n## Not exported\n\n| family | why, and what to use instead |\n|---|---|\n");
    for (family, why) in left_out() {
        let _ = writeln!(page, "| `{family}` | {why} |");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cadvisor.md");
    if env::var_os("GLASSBOX_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let file = fs::read_to_string(&path).unwrap_or_default();
    assert!(file == page, "docs/cadvisor.md differs from the tables; set GLASSBOX_BLESS=1 to write it");
}
