//! Sends requests to the NVIDIA driver that is loaded: see `glassbox_tests::real_driver::client`.

fn main() -> anyhow::Result<()> {
    glassbox_tests::real_driver::client::main()
}
