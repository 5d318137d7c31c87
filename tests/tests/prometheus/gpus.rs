//! A GPU for real containers: the fake driver, the NVML stand-in, and applications that use both.

use std::{path::Path, time::Duration};

use glassbox_tests::{
    docker::{Container, eventually},
    nvidia::{
        application::FakeCuda,
        driver::{FakeDriver, Options},
    },
    nvml::{StandIn, host},
};
use serde_json::{Value, json};

/// UVM_SET_PREFERRED_LOCATION, which never returns.
const HANGING: &str = "uvm:42";
/// Is refused once because the memory is exhausted, then granted; then makes small calls, some of which are refused, for the
/// whole test.
const BUSY: &str = "wait context allocate --bytes 33554432 --count 2 exhaust-and-recover --bytes 33554432 \
                    pin --bytes 65536 storm --threads 2 --rate 400 --seconds 600";
const STUCK: &str = "wait context migrate";
const GIB: u64 = 1 << 30;

/// The driver and the library.
pub(super) struct Gpus {
    driver: FakeDriver,
    stand_in: StandIn,
}

impl Gpus {
    pub(super) fn start() -> Self {
        let hang = Some(HANGING.parse().unwrap());
        let options = Options { memory_mib: 512, hang, ..Options::default() };
        let driver = FakeDriver::start(options).unwrap_or_else(|error| panic!("{error:#}"));
        Self { driver, stand_in: StandIn::new(&one_gpu(&json!([]))) }
    }

    /// The part of the agent's configuration that refers to them.
    pub(super) fn configuration(&self) -> String {
        format!("nvml.library = {:?}\n{}", self.stand_in.library(), self.driver.configuration())
    }

    /// Starts a container that keeps the GPU busy with 6 GiB, and another one that hangs in the driver with 1 GiB. The GPU
    /// has 8 GiB in use.
    pub(super) fn work_in(&self, busy: &Container<'_>, stuck: &Container<'_>) -> [FakeCuda; 2] {
        let stuck = self.run(stuck, STUCK);
        // The busy container allocates all remaining memory, so the other one must be first.
        eventually("a call hangs", Duration::from_secs(10), || (self.driver.hanging() > 0).then_some(()));
        let running = [self.run(busy, BUSY), stuck];
        let work = json!({ "sm": 60, "memory": 30, "encoder": 5, "decoder": 5 });
        self.stand_in.set(&one_gpu(&json!([
            { "pid": running[0].pid(), "memory": 6 * GIB, "utilization": work },
            { "pid": running[1].pid(), "memory": GIB, "utilization": { "sm": 0 } },
        ])));
        running
    }

    fn run(&self, container: &Container<'_>, profiles: &str) -> FakeCuda {
        let program = Path::new(env!("CARGO_BIN_EXE_fake-cuda"));
        let mut cuda = FakeCuda::start(program, &self.driver, profiles);
        cuda.waiting();
        cuda.enter(container);
        cuda.go();
        cuda
    }
}

fn one_gpu(processes: &Value) -> Value {
    let mut scenario = host();
    let device = &mut scenario["devices"][0];
    device["processes"] = processes.clone();
    device["xids"] = json!([31]);
    // MIG is off.
    device["values"]["nvmlDeviceGetMigMode"] = json!(0);
    device["instances"] = json!([]);
    device["values"]["nvmlDeviceGetMemoryInfo_v2:used"] = json!(8 * GIB);
    device["values"]["nvmlDeviceGetTotalEnergyConsumption"] = json!({ "start": 0.0, "per_s": 300_000.0 });
    scenario
}
