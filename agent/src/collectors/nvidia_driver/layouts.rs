//! Offset of the status in each structure, by driver release.
//!
//! The offsets were checked against the headers of all 193 tags of the open kernel modules from 515.43.04 to 595.45.04
//! (nvos.h, nv-ioctl.h, nv-ioctl-numa.h, uvm_ioctl.h). A resource manager request contains the size of its structure,
//! which identifies the layout; only `NVOS21` and the old forms of `NVOS64` kept their size and moved the status. A UVM
//! request contains no size, so without a release only commands that never changed are decoded.
//!
//! A release newer than [`NEWEST`] is decoded with the newest layouts, including UVM commands. Only 8 of about 50 UVM
//! commands changed in 193 tags, so the newest layout is most likely right. If UVM were not decoded, every new driver
//! would lose contexts, channels and cold starts. If a layout has changed after all, the wrong four bytes of the
//! caller's own structure are read: a failure is missed, or counted under a wrong status. [`support`] reports the
//! assumption.

use glassbox_ebpf::nvidia_driver::{Layout, UVM_LAYOUTS, commands::UVM_END};

use crate::{config::Release, snapshot::nvidia_driver::LayoutSupport};

/// The oldest release with checked layouts.
pub(super) const OLDEST: Release = Release(515, 43, 4);
/// The newest release with checked layouts.
pub(super) const NEWEST: Release = Release(595, 45, 4);

/// Whether the layouts of a release are known or assumed.
pub(super) fn support(release: Option<Release>) -> LayoutSupport {
    match release {
        None => LayoutSupport::UnknownRelease,
        Some(release) if release > NEWEST => LayoutSupport::AssumedNewest,
        Some(release) if release < OLDEST => LayoutSupport::AssumedOldest,
        Some(_) => LayoutSupport::Known,
    }
}

const NONE: u32 = Layout::NO_STATUS;

const fn one(size: u32, status: u32) -> Layout {
    Layout { sizes: [size, 0], statuses: [status, 0] }
}

const fn two(size: u32, status: u32, other: u32, other_status: u32) -> Layout {
    Layout { sizes: [size, other], statuses: [status, other_status] }
}

/// Requests with a size that identifies the layout: number, layout.
const RESOURCE_MANAGER: &[(u32, Layout)] = &[
    (0x27, one(56, 40)),
    (0x28, one(20, 16)),
    (0x29, one(16, 12)),
    (0x2A, one(32, 28)),
    (0x34, one(28, 24)),
    (0x35, one(24, 20)),
    (0x39, one(32, 24)),
    (0x41, one(56, 48)),
    (0x4A, one(184, 20)),
    (0x4D, one(72, 64)),
    (0x4E, one(56, 40)),
    (0x4F, one(32, 24)),
    (0x52, one(16, 12)),
    (0x54, one(56, 48)),
    // The driver has a number but no handler for these three, so it writes no status.
    (0x56, one(Layout::ANY, NONE)),
    // Grew in 580.65.06 and in 550.40.07.
    (0x57, two(56, 48, 64, 56)),
    (0x58, two(40, 32, 48, 40)),
    (0x59, one(16, 12)),
    (0x5C, one(Layout::ANY, NONE)),
    (0x5D, one(Layout::ANY, NONE)),
    (0x5E, one(40, 32)),
    (0x5F, one(Layout::ANY, 4)),
    (0xC8, one(Layout::ANY, NONE)),
    (0xC9, one(4, NONE)),
    (0xCE, one(16, 12)),
    (0xCF, one(16, 12)),
    (0xD1, one(12, 8)),
    (0xD2, one(72, NONE)),
    (0xD4, one(Layout::ANY, NONE)),
    (0xD5, one(8, 4)),
    (0xD6, one(8, NONE)),
    // Grew in 535.43.02.
    (0xD7, two(560, NONE, 552, NONE)),
    (0xD8, one(4, NONE)),
    // Grew in 570.86.15.
    (0xD9, two(2600, 2592, 2608, 2600)),
    (0xDA, one(8, NONE)),
];

/// UVM commands with the same layout in every release: command, offset of `rmStatus`.
const UVM_SAME: &[(u32, u32)] = &[
    (23, 8),
    (24, 8),
    (25, 28),
    (26, 16),
    (27, 48),
    (29, 32),
    (30, 32),
    (31, 24),
    (37, 36),
    (38, 16),
    (39, 4),
    (40, 264),
    (41, 264),
    (43, 16),
    (44, 16),
    (45, 16),
    (46, 32),
    (47, 32),
    (51, 72),
    (53, 24),
    (62, 32),
    (63, 32),
    (65, 32),
    (66, 32),
    (67, 0),
    (69, 0),
    (70, 20),
    (71, 20),
    (72, 16),
    (73, 16),
    (74, 32),
    (75, 4),
    (78, 52),
    (80, 24),
    // UVM_INITIALIZE, and UVM_DEINITIALIZE, which has no structure.
    (UVM_END, 8),
    (UVM_END + 1, NONE),
];

/// The offset of `rmStatus` from each release on, latest first; `None` if the release lacks the command.
type Changes = &'static [(Release, Option<u32>)];

/// UVM commands with a layout that changed.
const UVM_CHANGED: &[(u32, Changes)] = &[
    (28, &[(Release(590, 44, 1), Some(8)), (Release::FIRST, Some(24))]),
    (33, &[(Release(550, 40, 53), Some(9260)), (Release::FIRST, Some(1196))]),
    (34, &[(Release(590, 44, 1), Some(8)), (Release::FIRST, Some(16))]),
    (42, &[(Release(550, 40, 7), Some(36)), (Release::FIRST, Some(32))]),
    (54, &[(Release(595, 0, 0), None), (Release::FIRST, Some(16))]),
    (55, &[(Release(595, 0, 0), None), (Release::FIRST, Some(16))]),
    (56, &[(Release(565, 57, 1), Some(48)), (Release(560, 28, 3), Some(52)), (Release::FIRST, Some(48))]),
    (64, &[(Release(565, 57, 1), Some(8)), (Release::FIRST, Some(12))]),
    (68, &[(Release(550, 40, 53), Some(9240)), (Release::FIRST, Some(1176))]),
    (79, &[(Release(565, 57, 1), Some(0)), (Release::FIRST, None)]),
];

/// `NV_ESC_RM_ALLOC`: the offset of the status in its 32-byte form, then in its 40-byte form, by release.
const ALLOC_CHANGED: &[(Release, u32, Option<u32>)] =
    &[(Release(535, 43, 2), 28, None), (Release(525, 0, 0), 24, Some(36)), (Release::FIRST, 24, Some(32))];

/// Every known layout with its index in the table. Without a release, only the layouts common to all releases.
pub(super) fn layouts(release: Option<Release>) -> Vec<(u32, Layout)> {
    let mut table: Vec<_> = RESOURCE_MANAGER.to_vec();
    let any = |command: u32, status| (UVM_LAYOUTS + command, one(Layout::ANY, status));
    table.extend(UVM_SAME.iter().map(|&(command, status)| any(command, status)));
    table.push((0x2B, alloc(release)));
    if let Some(release) = release {
        for (command, changes) in UVM_CHANGED {
            let in_force = changes.iter().find(|(since, _)| release >= *since);
            table.extend(in_force.and_then(|&(_, status)| Some(any(*command, status?))));
        }
    }
    table
}

fn alloc(release: Option<Release>) -> Layout {
    let known = release.and_then(|release| ALLOC_CHANGED.iter().find(|(since, ..)| release >= *since));
    match known {
        // Only 535.43.02 and later have the 48-byte form.
        None => one(48, 40),
        Some((_, short, None)) => two(48, 40, 32, *short),
        Some((_, short, Some(long))) => two(40, *long, 32, *short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(release: Option<Release>, index: u32, size: u32) -> Option<u32> {
        let layouts = layouts(release);
        let (_, layout) = layouts.into_iter().find(|(known, _)| *known == index)?;
        let matches = |known: u32| known != 0 && (known == Layout::ANY || known == size);
        (0..2).find(|&form| matches(layout.sizes[form])).map(|form| layout.statuses[form])
    }

    #[test]
    fn the_size_identifies_the_layout_in_every_release() {
        for release in [None, Some(Release(535, 104, 5)), Some(Release(595, 45, 4))] {
            assert_eq!(status(release, 0x2A, 32), Some(28));
            assert_eq!(status(release, 0x4A, 184), Some(20));
            assert_eq!((status(release, 0x57, 56), status(release, 0x57, 64)), (Some(48), Some(56)));
            assert_eq!(status(release, 0x2B, 48), Some(40));
            assert_eq!(status(release, 0x2A, 40), None, "no release has this size");
        }
    }

    #[test]
    fn the_release_identifies_the_layout_if_the_size_does_not() {
        let of = |release| status(Some(release), 0x2B, 32);
        assert_eq!((of(Release(525, 60, 11)), of(Release(535, 43, 2))), (Some(24), Some(28)));
        assert_eq!(status(Some(Release(515, 43, 4)), 0x2B, 40), Some(32));
        assert_eq!(status(None, 0x2B, 32), None, "the short form is ambiguous");
    }

    #[test]
    fn uvm_layouts_change_with_the_release() {
        let map = |release| status(release, UVM_LAYOUTS + 33, 0);
        assert_eq!(map(Some(Release(535, 104, 5))), Some(1196));
        assert_eq!(map(Some(Release(550, 40, 52))), Some(1196));
        // Development branches have the layout of 550.54.14.
        for release in [Release(550, 40, 53), Release(550, 40, 85), Release(550, 54, 14)] {
            assert_eq!(map(Some(release)), Some(9260), "{release}");
            assert_eq!(status(Some(release), UVM_LAYOUTS + 68, 0), Some(9240), "{release}");
        }
        assert_eq!(map(None), None);
        let free = |release| status(Some(release), UVM_LAYOUTS + 34, 0);
        assert_eq!((free(Release(580, 65, 6)), free(Release(590, 44, 1))), (Some(16), Some(8)));
        assert_eq!(status(None, UVM_LAYOUTS + 73, 0), Some(16));
    }

    #[test]
    fn every_command_of_a_release_has_a_layout() {
        let of = |release| {
            [54, 55, 62, 63, 64, 67, 69, 79].map(|command| status(Some(release), UVM_LAYOUTS + command, 0))
        };
        let (short, long) = (Some(0), Some(32));
        let early = [Some(16), Some(16), long, long, Some(12), short, short, None];
        assert_eq!(of(Release(515, 43, 4)), early);
        assert_eq!(of(Release(560, 35, 3)), early);
        let middle = [Some(16), Some(16), long, long, Some(8), short, short, short];
        assert_eq!(of(Release(565, 57, 1)), middle);
        assert_eq!(of(Release(590, 48, 1)), middle);
        assert_eq!(of(NEWEST), [None, None, long, long, Some(8), short, short, short]);
        for release in [Release(515, 43, 4), Release(530, 41, 3), NEWEST] {
            let numa = [552, 560].map(|size| status(Some(release), 0xD7, size));
            assert_eq!(numa, [Some(NONE); 2], "NUMA_INFO has no status in {release}");
            assert_eq!([0x56, 0x5C, 0x5D].map(|number| status(Some(release), number, 8)), [Some(NONE); 3]);
        }
    }

    #[test]
    fn a_newer_release_uses_the_newest_layouts_and_reports_it() {
        let newer = Some(Release(610, 57, 4));
        assert_eq!(layouts(newer), layouts(Some(NEWEST)));
        assert_eq!(status(newer, 0x2B, 48), Some(40));
        assert_eq!(status(newer, UVM_LAYOUTS + 33, 0), Some(9260));
        let supports = [newer, Some(NEWEST), Some(OLDEST), Some(Release(470, 82, 0)), None].map(support);
        let expected = [
            LayoutSupport::AssumedNewest,
            LayoutSupport::Known,
            LayoutSupport::Known,
            LayoutSupport::AssumedOldest,
            LayoutSupport::UnknownRelease,
        ];
        assert_eq!(supports, expected);
    }

    #[test]
    fn no_request_is_listed_twice() {
        let mut indices: Vec<_> =
            layouts(Some(Release(580, 0, 0))).into_iter().map(|(index, _)| index).collect();
        let all = indices.len();
        indices.sort_unstable();
        indices.dedup();
        assert_eq!(indices.len(), all);
        assert!(indices.iter().all(|&index| index < glassbox_ebpf::nvidia_driver::LAYOUTS));
    }
}
