"""Renders deploy/helm/glassbox with Helm's own SDK, checks Kubernetes objects, and generates deploy/kustomize.

    chart.py lint CHART                 findings of `helm lint`, as JSON
    chart.py render CHART VALUES        the chart's objects with values (JSON), as a JSON list
    chart.py validate VERSION...        reads a JSON list of objects, checks them strictly; prints errors as a JSON list
    chart.py kustomize CHART DIRECTORY  writes the base and the overlays
    chart.py yaml FILE                  the documents of a YAML file, as a JSON list
"""

import copy
import json
import sys
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

RELEASE = {"name": "glassbox", "namespace": "glassbox"}
# The base has the default values. An overlay patches what its values change.
OVERLAYS = {
    "full": {"profile": "full"},
    "restricted": {"profile": "restricted"},
    "privileged": {"profile": "privileged"},
    "gpu": {"gpu": {"enabled": True}},
}
GENERATED = (
    "# Generated from deploy/helm/glassbox; do not edit. To change it, edit the chart and run:\n"
    "# GLASSBOX_BLESS=1 cargo test --workspace --test deploy\n"
)


def texts(chart, values):
    """The rendered templates that have an object, by file name."""
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        rendered = loaded.render(values, **RELEASE)
    return {Path(name).name: text for name, text in sorted(rendered.items()) if yaml_of(text)}


def yaml_of(text):
    return [document for document in yaml.safe_load_all(text) if document]


def render(chart, values):
    return [document for text in texts(chart, values).values() for document in yaml_of(text)]


def differences(old, new, path=""):
    """JSON patch operations (RFC 6902) that turn `old` into `new`. Lists are replaced as a whole."""
    if old == new:
        return
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield {"op": "replace", "path": path, "value": new}
        return
    for key in sorted(old.keys() | new.keys()):
        below = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in new:
            yield {"op": "remove", "path": below}
        elif key not in old:
            yield {"op": "add", "path": below, "value": new[key]}
        else:
            yield from differences(old[key], new[key], below)


def kustomize(chart, directory):
    def write(path, text):
        path = Path(directory) / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GENERATED + text)

    def kustomization(**fields):
        head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
        return yaml.safe_dump(head | fields, sort_keys=False)

    base = texts(chart, {})
    for name, text in base.items():
        write(f"base/{name}", text.strip() + "\n")
    write("base/kustomization.yaml", kustomization(resources=list(base)))
    [old] = yaml_of(base["daemonset.yaml"])
    for name, values in OVERLAYS.items():
        overlay = texts(chart, values)
        changed = [file for file in overlay if yaml_of(overlay[file]) != yaml_of(base.get(file, ""))]
        if set(overlay) != set(base) or changed not in ([], ["daemonset.yaml"]):
            sys.exit(f"overlay {name}: only changes of the DaemonSet can be generated, not of {changed}")
        fields = {"resources": ["../../base"]}
        [new] = yaml_of(overlay["daemonset.yaml"])
        operations = list(patch_of_daemonset(copy.deepcopy(old), new))
        if operations:
            target = {"kind": "DaemonSet", "name": RELEASE["name"]}
            fields["patches"] = [{"target": target, "patch": Block(yaml.safe_dump(operations, sort_keys=False))}]
        write(f"overlays/{name}/kustomization.yaml", kustomization(**fields))


class Block(str):
    """A string of several lines, written as a literal block."""


yaml.SafeDumper.add_representer(
    Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def patch_of_daemonset(old, new):
    """The pod has one container, whose fields are patched one by one."""
    [agent], [changed] = (daemonset["spec"]["template"]["spec"].pop("containers") for daemonset in (old, new))
    yield from differences(agent, changed, "/spec/template/spec/containers/0")
    yield from differences(old, new)


def validate(versions, objects):
    for version in versions:
        for document in objects:
            name = f"{version}: {document['kind']}/{document['metadata']['name']}"
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.SchemaNotFoundError:
                yield f"{name}: no schema"
            except kubernetes_validate.ValidationError as error:
                yield f"{name}: {error.json_path}: {error.message}"


def main(command, *arguments):
    match command:
        case "lint":
            result = helm_python.lint(arguments[0], strict=True)["messages"]
        case "render":
            result = render(arguments[0], json.loads(arguments[1]))
        case "validate":
            result = list(validate(arguments, json.load(sys.stdin)))
        case "kustomize":
            result = kustomize(*arguments)
        case "yaml":
            result = yaml_of(Path(arguments[0]).read_text())
    json.dump(result, sys.stdout)


main(*sys.argv[1:])
