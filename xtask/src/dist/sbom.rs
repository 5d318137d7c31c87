//! The software bill of materials, in CycloneDX 1.6. Without a serial number, so that the same release has the same document.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::components::Component;
use super::release::Release;

pub(super) fn document(release: &Release, components: &[Component]) -> anyhow::Result<String> {
    let agent = components.iter().find(|component| component.name == "glassbox").context("find the agent")?;
    let mut described = describe(agent);
    described["type"] = "application".into();
    described["version"] = release.version.as_str().into();
    let mut libraries: Vec<Value> =
        components.iter().filter(|component| component.name != agent.name).map(describe).collect();
    if let Some(version) = &release.binary.rustc {
        // Linked into every Rust program, but no crate that cargo lists.
        libraries.push(json!({
            "type": "library", "bom-ref": "rust-std", "name": "rust-std", "version": version,
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
        }));
    }
    let dependencies: Vec<Value> = components
        .iter()
        .map(|component| {
            let uses: Vec<_> =
                component.uses.iter().map(|(name, version)| reference(name, version)).collect();
            json!({"ref": reference(&component.name, &component.version), "dependsOn": uses})
        })
        .collect();
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": release.rfc3339()?,
            "component": described,
            "properties": [{"name": "glassbox:architecture", "value": release.architecture.debian()}],
        },
        "components": libraries,
        "dependencies": dependencies,
    });
    Ok(format!("{document:#}\n"))
}

fn describe(component: &Component) -> Value {
    let reference = reference(&component.name, &component.version);
    let mut described = json!({
        "type": "library",
        "bom-ref": reference,
        "name": component.name,
        "version": component.version,
    });
    if let Some(licence) = &component.licence {
        described["licenses"] = json!([{"expression": licence}]);
    }
    if let Some(checksum) = &component.checksum {
        described["purl"] = reference.into();
        described["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = &component.repository {
        described["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    described
}

/// The package URL of a crate.
fn reference(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}
