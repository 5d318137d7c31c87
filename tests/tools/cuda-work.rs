//! A CUDA application that executes commands: `cuda-work libcuda.so.1`, with commands on the standard input. See
//! `glassbox_tests::cuda`.

fn main() -> anyhow::Result<()> {
    glassbox_tests::cuda::main()
}
