//! Compares the exported text with the values of the library.

use glassbox_tests::nvml::{StandIn, gpu, host};

use super::host::{Host, living, samples};

const DCGM: &str = "gpu=\"0\",UUID=\"GPU-aaaa\",pci_bus_id=\"00000000:01:00.0\",device=\"nvidia0\",\
                    modelName=\"NVIDIA H100 PCIe\"";

#[test]
fn every_value_of_a_gpu_is_exported() {
    let stand_in = StandIn::new(&host());
    let mut host = Host::start(&stand_in);
    let snapshot = host.until("a reading with GPM and samples", |snapshot| {
        living(snapshot, "GPU-aaaa").is_some_and(|gpu| {
            !gpu.gpm.ratios.is_empty() && gpu.utilization_max_ratio.is_some_and(|max| max > 0.99)
        })
    });
    let samples = samples(&snapshot);
    let own = |name: &str, more: &str| {
        let series = format!("glassbox_gpu_{name}{{gpu=\"0\",uuid=\"GPU-aaaa\"{more}}}");
        *samples.get(&series).unwrap_or_else(|| panic!("{series}: {samples:#?}"))
    };
    let gib = f64::from(1_u32 << 30);
    for (name, more, value) in [
        ("up", "", 1.0),
        ("utilization_ratio", "", 0.61),
        ("memory_utilization_ratio", "", 0.29),
        ("utilization_max_ratio", "", 1.0),
        ("encoder_utilization_ratio", "", 0.07),
        ("decoder_utilization_ratio", "", 0.13),
        ("memory_total_bytes", "", 80.0 * gib),
        ("memory_used_bytes", "", 8.0 * gib),
        ("memory_used_max_bytes", "", 8.0 * gib),
        ("memory_free_bytes", "", 71.0 * gib),
        ("memory_reserved_bytes", "", gib),
        ("power_watts", "", 230.125),
        ("power_max_watts", "", 349.9),
        ("power_limit_watts", "", 350.0),
        ("energy_joules_total", "", 9_876_543.21),
        ("temperature_celsius", ",sensor=\"gpu\"", 58.0),
        ("temperature_celsius", ",sensor=\"memory\"", 64.0),
        ("clock_hertz", ",domain=\"graphics\"", 1.740e9),
        ("clock_hertz", ",domain=\"sm\"", 1.755e9),
        ("clock_hertz", ",domain=\"memory\"", 1.593e9),
        ("clock_hertz", ",domain=\"video\"", 1.5e9),
        ("throttle_active", ",reason=\"software_power_cap\"", 1.0),
        ("throttle_active", ",reason=\"idle\"", 0.0),
        ("throttled_seconds_total", ",reason=\"power\"", 12.345),
        ("ecc_errors_total", ",kind=\"corrected\"", 3.0),
        ("remapped_rows_total", ",kind=\"uncorrectable\"", 2.0),
        ("row_remap_pending", "", 0.0),
        ("row_remap_failed", "", 0.0),
        ("pcie_replays_total", "", 4.0),
        ("pcie_bytes_total", ",direction=\"transmit\"", 0.0),
        ("nvlink_bytes_total", ",direction=\"transmit\"", 2048.0),
        ("nvlink_bytes_total", ",direction=\"receive\"", 4096.0),
        ("nvlink_errors_total", ",kind=\"recovery\"", 4.0),
        ("active_ratio", ",unit=\"tensor\"", 0.125),
        ("active_ratio", ",unit=\"sm_occupancy\"", 0.25),
        ("mig_enabled", "", 1.0),
        ("mig_memory_used_bytes", ",mig_uuid=\"MIG-1\"", gib),
        ("mig_memory_total_bytes", ",mig_uuid=\"MIG-1\"", 10.0 * gib),
        ("processes", ",owner=\"container\"", 0.0),
    ] {
        assert_eq!(own(name, more), value, "{name}{more}");
    }
    // 40, 100 and 60 % in turn.
    let below = |le: &str| own("utilization_samples_ratio_bucket", &format!(",le=\"{le}\""));
    assert_eq!((below("0.35"), below("0.4") > 0.0), (0.0, true));
    assert!(below("0.4") < below("0.6") && below("0.95") < below("1"), "{samples:#?}");
}

/// The panels of Grafana's dashboard 12239 query these, by `instance` and `gpu`.
#[test]
fn every_query_of_dashboard_12239_has_a_series() {
    let stand_in = StandIn::new(&host());
    let mut host = Host::start(&stand_in);
    let snapshot = host
        .until("GPM", |snapshot| living(snapshot, "GPU-aaaa").is_some_and(|gpu| !gpu.gpm.ratios.is_empty()));
    let samples = samples(&snapshot);
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let labels = format!("{DCGM},Hostname=\"{}\",DCGM_FI_DRIVER_VERSION=\"580.159.04\"", hostname.trim());
    for (name, value) in [
        ("DCGM_FI_DEV_GPU_TEMP", 58.0),
        ("DCGM_FI_DEV_POWER_USAGE", 230.125),
        ("DCGM_FI_DEV_SM_CLOCK", 1755.0),
        ("DCGM_FI_DEV_GPU_UTIL", 61.0),
        ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.125),
        ("DCGM_FI_DEV_FB_USED", 8192.0),
        // Some of the other metrics in dcgm-exporter's default set.
        ("DCGM_FI_DEV_FB_FREE", 72_704.0),
        ("DCGM_FI_DEV_MEM_CLOCK", 1593.0),
        ("DCGM_FI_DEV_MEMORY_TEMP", 64.0),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 9_876_543_210.0),
        ("DCGM_FI_PROF_PCIE_RX_BYTES", 2_097_152.0),
        ("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", 6.0),
        // dcgm-exporter has these if configured.
        ("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", 3.0),
        ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", 0.0),
    ] {
        assert_eq!(samples.get(&format!("{name}{{{labels}}}")), Some(&value), "{name}: {samples:#?}");
    }
    let xid = format!("DCGM_FI_DEV_XID_ERRORS{{{labels},err_code=\"0\",err_msg=\"No Error\"}}");
    assert_eq!(samples.get(&xid), Some(&0.0));
}

#[test]
fn unsupported_values_are_absent_and_the_others_exported() {
    let mut scenario = host();
    let device = &mut scenario["devices"][0];
    device["values"] = serde_json::json!({ "nvmlDeviceGetTemperature:0": 41 });
    for part in ["fields", "samples", "gpm"] {
        device[part] = serde_json::json!({});
    }
    let stand_in = StandIn::new(&scenario);
    let mut host = Host::start(&stand_in);
    let snapshot = host.until("the GPU", |snapshot| living(snapshot, "GPU-aaaa").is_some());
    let samples = samples(&snapshot);
    let about_it: Vec<_> = samples.keys().filter(|series| series.contains("GPU-aaaa")).collect();
    let names: std::collections::BTreeSet<_> =
        about_it.iter().map(|series| series.split('{').next().unwrap()).collect();
    let expected = [
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_XID_ERRORS",
        "glassbox_gpu_info",
        "glassbox_gpu_processes",
        "glassbox_gpu_temperature_celsius",
        "glassbox_gpu_up",
    ];
    assert_eq!(names, expected.into());
    let unsupported = samples.keys().filter(|series| series.contains("code=\"not_supported\"")).count();
    assert!(unsupported >= 10, "{samples:#?}");
}

#[test]
fn instances_and_gpus_without_uuids_have_separate_series() {
    let mut scenario = host();
    let gib = 1_u64 << 30;
    scenario["devices"] = serde_json::json!([gpu("", 0), gpu("", 1)]);
    scenario["devices"][0]["instances"] = serde_json::json!([
        { "uuid": "", "memory_total": 10 * gib, "memory_used": gib },
        { "uuid": "", "memory_total": 20 * gib, "memory_used": 2 * gib },
    ]);
    let stand_in = StandIn::new(&scenario);
    let mut host = Host::start(&stand_in);
    let snapshot = host.until("both GPUs", |snapshot| snapshot.host.gpus.len() == 2);
    // In a debug build, a duplicate series panics.
    let samples = samples(&snapshot);
    let used = |gpu: u32, instance: &str| {
        let series = format!("glassbox_gpu_mig_memory_used_bytes{{gpu=\"{gpu}\",mig_uuid=\"{instance}\"}}");
        samples.get(&series).copied()
    };
    let gib = gib as f64;
    assert_eq!((used(0, "0"), used(0, "1"), used(1, "MIG-1")), (Some(gib), Some(2.0 * gib), Some(gib)));
    for gpu in [0, 1] {
        assert_eq!(samples.get(&format!("glassbox_gpu_up{{gpu=\"{gpu}\"}}")), Some(&1.0), "{samples:#?}");
    }
}
