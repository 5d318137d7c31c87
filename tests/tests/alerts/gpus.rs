//! Simulated GPUs and applications with every problem that has an alert.

use std::path::Path;

use glassbox_tests::{
    cgroup::{Cgroup, fresh_id},
    docker::Container,
    nvidia::{
        application::FakeCuda,
        driver::{self, FakeDriver, Options},
    },
    nvml::{StandIn, gpu},
};
use serde_json::{Value, json};

/// The request that never returns: the first one of a CUDA context to its GPU.
const HANGS: &str = "0x2b";
/// Memory that is allocated with each step of the staircase.
const STEP_BYTES: u64 = 64 << 20;
const GIB: u64 = 1 << 30;
/// Reasons for lower clocks, as NVML reports them: the power cap and the temperature.
const THROTTLED: u32 = 0x4 | 0x20;
/// The power of a GPU that does nothing, in mW: a fifth of the limit.
const LITTLE_MILLIWATTS: u32 = 70_000;
/// The values of a GPU that looks busy and does nothing. Field 186 is the power of the last moment.
const SPINNING: [(&str, u32); 4] = [
    ("values/nvmlDeviceGetUtilizationRates:gpu", 100),
    ("values/nvmlDeviceGetUtilizationRates:memory", 0),
    ("values/nvmlDeviceGetPowerUsage", LITTLE_MILLIWATTS),
    ("fields/186", LITTLE_MILLIWATTS),
];
/// `NVML_ERROR_LIB_RM_VERSION_MISMATCH`: the driver's packages were updated, and its module is still the old one.
const MISMATCH: u32 = 18;

/// The GPUs and their driver. GPU 0 has most problems, GPU 1 is lost, GPU 2 has failed memory, GPU 3 spins.
pub(super) struct Gpus {
    stand_in: StandIn,
    driver: FakeDriver,
    broken: FakeDriver,
}

/// An application in a container.
pub(super) struct Application {
    /// The name of its container.
    pub(super) name: String,
    cuda: FakeCuda,
    _cgroup: Cgroup,
}

impl Gpus {
    /// Starts the drivers. NVML does not work until [`reload`](Self::reload).
    pub(super) fn start() -> anyhow::Result<Self> {
        let options = Options { memory_mib: 512, ..Options::default() };
        let broken = FakeDriver::start(Options { hang: Some(HANGS.parse()?), ..options.clone() })?;
        let driver = FakeDriver::start(options)?;
        let mut mismatch = healthy();
        mismatch["errors"] = json!({ "nvmlInit_v2": MISMATCH });
        Ok(Self { stand_in: StandIn::new(&mismatch), driver, broken })
    }

    /// The part of the agent's configuration that refers to them.
    pub(super) fn configuration(&self) -> String {
        let drivers = driver::configuration(&[&self.driver, &self.broken]);
        format!("nvml.library = {:?}\n{drivers}", self.stand_in.library())
    }

    /// An application that requests GPU memory until the driver refuses it.
    pub(super) fn hungry(&self, root: &Path) -> Application {
        Application::start(root, &self.driver, "wait context exhaust --bytes 16777216 hold")
    }

    /// Runs an application in a container until the driver refuses memory to it, and ends it.
    pub(super) fn refuse(&self, container: &Container<'_>) {
        let profiles = "wait context exhaust --bytes 16777216";
        let mut cuda = FakeCuda::start(Path::new(env!("CARGO_BIN_EXE_fake-cuda")), &self.driver, profiles);
        cuda.waiting();
        cuda.enter(container);
        cuda.go();
        drop(cuda.truth());
    }

    /// An application with a call to the driver that does not return.
    pub(super) fn hanging(&self, root: &Path) -> Application {
        Application::start(root, &self.broken, "wait context hold")
    }

    /// An application with a CUDA context that makes no more calls to the driver.
    pub(super) fn spinning(&self, root: &Path) -> Application {
        Application::start(root, &self.driver, "wait context hold")
    }

    /// All problems at once. `leaky` holds more memory with every step.
    pub(super) fn fail(&self, leaky: &Application, spinning: &Application, step: u64) {
        let mut host = healthy();
        let [first, lost, failed, last] = [0, 1, 2, 3].map(|index| format!("/devices/{index}"));
        let mut set = |place: String, value: Value| *host.pointer_mut(&place).unwrap() = value;
        set(format!("{first}/values/nvmlDeviceGetMemoryInfo_v2:used"), (75 * GIB).into());
        set(format!("{first}/values/nvmlDeviceGetCurrentClocksThrottleReasons"), THROTTLED.into());
        set(format!("{first}/fields/4"), 3.into());
        set(format!("{first}/xids"), json!([31]));
        let held = GIB + step * STEP_BYTES;
        set(format!("{first}/processes"), json!([{ "pid": leaky.cuda.pid(), "memory": held }]));
        set(format!("{failed}/xids"), json!([48]));
        for (name, value) in SPINNING {
            set(format!("{last}/{name}"), value.into());
        }
        let kernel = json!({ "pid": spinning.cuda.pid(), "memory": GIB, "utilization": { "sm": 100 } });
        set(format!("{last}/processes"), json!([kernel]));
        host.pointer_mut(&lost).unwrap()["lost"] = true.into();
        self.stand_in.set(&host);
    }

    /// Makes NVML work, without problems or errors.
    pub(super) fn reload(&self) {
        self.stand_in.set(&healthy());
    }

    /// No problems. What was counted stays counted.
    pub(super) fn recover(&self) {
        let mut host = healthy();
        host["devices"][0]["fields"]["4"] = 3.into();
        host["devices"][0]["xids"] = json!([31]);
        host["devices"][2]["xids"] = json!([48]);
        self.stand_in.set(&host);
    }
}

fn healthy() -> Value {
    let gpu = |number| {
        let mut gpu = gpu(&format!("GPU-{number}"), number);
        gpu["values"]["nvmlDeviceGetCurrentClocksThrottleReasons"] = 1.into();
        gpu["values"]["nvmlDeviceGetMigMode"] = 0.into();
        gpu["instances"] = json!([]);
        // Without these counters, the state is used.
        for field in ["74", "75"] {
            gpu["fields"].as_object_mut().unwrap().remove(field);
        }
        gpu
    };
    json!({ "driver_version": "580.65.06", "devices": [gpu(0), gpu(1), gpu(2), gpu(3)] })
}

impl Application {
    fn start(root: &Path, driver: &FakeDriver, profiles: &str) -> Self {
        let id = fresh_id();
        let cgroup = Cgroup::new(root, &format!("alerts/{id}")).unwrap();
        let mut cuda = FakeCuda::start(Path::new(env!("CARGO_BIN_EXE_fake-cuda")), driver, profiles);
        cuda.waiting();
        cgroup.enter(cuda.pid()).unwrap();
        Self { name: id[..12].to_owned(), cuda, _cgroup: cgroup }
    }

    /// Lets it begin. It must be known to the agent by then.
    pub(super) fn go(&mut self) {
        self.cuda.go();
    }

    /// Waits until it holds all of its memory.
    pub(super) fn holding(&mut self) {
        drop(self.cuda.holding());
    }
}
