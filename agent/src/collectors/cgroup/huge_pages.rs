//! The files of huge pages: up to three for each page size of any architecture. Files of sizes that this host lacks are
//! given up like other missing files.

use super::{
    source::{Source, When::Rarely},
    text::number,
};
use crate::snapshot::cgroup::{CgroupUsage, HugePages};

macro_rules! sizes {
    ($($size:literal)*) => {
        /// v2 files. There is none for the maximum usage.
        pub(super) const V2: &[Source] = &[$(
            Source {
                file: concat!("hugetlb.", $size, ".current"),
                when: Rarely,
                parse: |text, usage| entry(usage, $size).usage_bytes = number(text),
            },
            Source {
                file: concat!("hugetlb.", $size, ".events"),
                when: Rarely,
                parse: |text, usage| {
                    entry(usage, $size).failcnt = text.lines().find_map(|line| number(line.strip_prefix("max ")?));
                },
            },
        )*];

        /// v1 files.
        pub(super) const V1: &[Source] = &[$(
            Source {
                file: concat!("hugetlb.", $size, ".usage_in_bytes"),
                when: Rarely,
                parse: |text, usage| entry(usage, $size).usage_bytes = number(text),
            },
            Source {
                file: concat!("hugetlb.", $size, ".max_usage_in_bytes"),
                when: Rarely,
                parse: |text, usage| entry(usage, $size).max_usage_bytes = number(text),
            },
            Source {
                file: concat!("hugetlb.", $size, ".failcnt"),
                when: Rarely,
                parse: |text, usage| entry(usage, $size).failcnt = number(text),
            },
        )*];
    };
}

sizes! { "64KB" "1MB" "2MB" "16MB" "32MB" "512MB" "1GB" "16GB" }

fn entry<'a>(usage: &'a mut CgroupUsage, page_size: &'static str) -> &'a mut HugePages {
    let pages = &mut usage.huge_pages;
    let index = pages.iter().position(|pages| pages.page_size == page_size).unwrap_or_else(|| {
        pages.push(HugePages { page_size, ..HugePages::default() });
        pages.len() - 1
    });
    &mut pages[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_size_has_its_own_entry() {
        let mut usage = CgroupUsage::default();
        for (file, text) in [
            ("hugetlb.2MB.current", "4194304\n"),
            ("hugetlb.2MB.events", "max 3\n"),
            ("hugetlb.1GB.current", "0\n"),
        ] {
            let source = V2.iter().find(|source| source.file == file).unwrap();
            (source.parse)(text, &mut usage);
        }
        let two = HugePages {
            page_size: "2MB",
            usage_bytes: Some(4 << 20),
            max_usage_bytes: None,
            failcnt: Some(3),
        };
        let one = HugePages { page_size: "1GB", usage_bytes: Some(0), ..HugePages::default() };
        assert_eq!(usage.huge_pages, [two, one]);
    }
}
