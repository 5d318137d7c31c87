//! deploy/kustomize is generated from the chart. `GLASSBOX_BLESS=1` writes it.

use std::{collections::BTreeMap, env, fs, path::Path};

use glassbox_tests::{
    deployment::{self, Tools},
    skip,
};
use serde_json::Value;

/// The overlays, and the values that the chart needs for the same objects.
const OVERLAYS: [(&str, &str); 5] = [
    ("base", "{}"),
    ("overlays/full", r#"{"profile": "full"}"#),
    ("overlays/restricted", r#"{"profile": "restricted"}"#),
    ("overlays/privileged", r#"{"profile": "privileged"}"#),
    ("overlays/gpu", r#"{"gpu": {"enabled": true}}"#),
];

/// All files below a directory with their text.
fn files(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let name = |object: &Value| format!("{}/{}", object["kind"], object["metadata"]["name"]);
    objects.into_iter().map(|object| (name(&object), object)).collect()
}

#[test]
fn the_kustomize_files_are_generated_from_the_chart() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(reason) => return skip("the_kustomize_files_are_generated_from_the_chart", &reason),
    };
    let (generated, place) = (tempfile::tempdir().unwrap(), deployment::file("kustomize"));
    tools.generate_kustomize(generated.path());
    let wanted = files(generated.path());
    if env::var_os("GLASSBOX_BLESS").is_some() {
        fs::remove_dir_all(&place).unwrap();
        for (name, text) in &wanted {
            let file = place.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }
    let found = files(&place);
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, text) in wanted {
        assert_eq!(found[&name], text, "{name} is out of date; run this test with GLASSBOX_BLESS=1");
    }
}

#[test]
fn kubectl_kustomize_makes_the_objects_of_the_chart() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(reason) => return skip("kubectl_kustomize_makes_the_objects_of_the_chart", &reason),
    };
    for (overlay, values) in OVERLAYS {
        let made = by_name(tools.kustomize(&deployment::file("kustomize").join(overlay)));
        assert_eq!(made, by_name(tools.render(values)), "{overlay}");
        assert!(made.keys().any(|name| name.contains("DaemonSet")), "{overlay}: {made:?}");
    }
}
