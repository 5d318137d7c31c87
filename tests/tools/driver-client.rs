//! Sends requests to the loaded NVIDIA driver: see `glassbox_tests::real_driver::client`.

fn main() -> anyhow::Result<()> {
    glassbox_tests::real_driver::client::main()
}
