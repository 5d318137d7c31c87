//! Makes the pictures of the status page in docs/: `page-pictures ADDRESS DIRECTORY`, with the address of the agent of `cargo
//! xtask run --demo`. Needs Chromium.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use glassbox_tests::browser::{Browser, Screen};

/// Width in CSS pixels, and maximum height.
const WIDTH: u32 = 1100;
const HEIGHT_MAX: f64 = 1000.0;
/// File, path, language, and whether the colour scheme is dark, of each picture.
const PICTURES: [(&str, &str, &str, bool); 3] = [
    ("page.png", "/?pause", "en", false),
    ("page.zh.png", "/?pause", "zh", false),
    ("page-container.png", "/c/demo-facefusion-1?pause", "en", true),
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().context("find ADDRESS")?.parse().context("read ADDRESS")?;
    let directory: PathBuf = arguments.next().context("find DIRECTORY")?.into();
    let mut browser = Browser::start()?;
    for (file, path, language, dark) in PICTURES {
        browser.open(address, path, Screen { width: WIDTH, dark, language })?;
        browser.picture(&directory.join(file), HEIGHT_MAX)?;
        println!("{}", directory.join(file).display());
    }
    Ok(())
}
