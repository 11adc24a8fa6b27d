"""A buf plugin: Python messages, gRPC classes and strict type stubs, from the installed compilers.

buf brings no Python generator of its own and starts plugins by the protocol of protoc: a request on
standard input, the files on standard output. Everything runs offline.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

OUR_PACKAGE = "oneapi"
# Options of protoc, each to be followed by a folder.
OUTPUTS_OF_OURS = ("python_out=", "grpc_python_out=", "mypy_out=quiet:", "mypy_grpc_out=quiet:")
# Others' protos are validated against at run time, so their messages are needed, not their prose.
OUTPUTS_OF_OTHERS = ("python_out=", "mypy_out=quiet:")


def compile_files(
    files: list[descriptor_pb2.FileDescriptorProto], names: list[str], outputs: tuple[str, ...]
) -> dict[str, str]:
    """Run protoc over already parsed files and return what it wrote, by path."""
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "descriptors.binpb"
        written = Path(folder) / "out"
        written.mkdir()
        descriptors.write_bytes(
            descriptor_pb2.FileDescriptorSet(file=files).SerializeToString(deterministic=True)
        )
        arguments = ["protoc", f"--descriptor_set_in={descriptors}", *plugin_paths()]
        arguments += [f"--{output}{written}" for output in outputs]
        if protoc.main([*arguments, *names]) != 0:
            raise SystemExit("protoc refused the files that buf had accepted")
        return {
            path.relative_to(written).as_posix(): path.read_text()
            for path in sorted(written.rglob("*.py*"))
        }


def plugin_paths() -> list[str]:
    """The stub generators of this environment, whatever PATH says."""
    scripts = Path(sys.executable).parent
    names = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    return [f"--plugin={name}={scripts / name}" for name in names]


def package_files(paths: list[str]) -> dict[str, str]:
    """Make every folder a package and the tops typed ones, as importers and mypy expect."""
    folders = {parent for path in paths for parent in Path(path).parents if parent.name}
    tops = {folder.parts[0] for folder in folders}
    made = {f"{folder.as_posix()}/__init__.py": "" for folder in folders}
    return made | {f"{top}/py.typed": "" for top in tops}


def without_comments(
    file: descriptor_pb2.FileDescriptorProto,
) -> descriptor_pb2.FileDescriptorProto:
    """Others' documentation is not ours to copy into our stubs."""
    bare = descriptor_pb2.FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    return bare


def generate(request: plugin_pb2.CodeGeneratorRequest) -> dict[str, str]:
    """Every file of the wheel's source folder, by path."""
    wanted = list(request.file_to_generate)
    ours = [name for name in wanted if name.startswith(f"{OUR_PACKAGE}/")]
    others = [name for name in wanted if not name.startswith(f"{OUR_PACKAGE}/")]
    files = list(request.proto_file)
    made = compile_files(files, ours, OUTPUTS_OF_OURS) if ours else {}
    if others:
        bare = [without_comments(file) for file in files]
        made |= compile_files(bare, others, OUTPUTS_OF_OTHERS)
    # A proto without a service has nothing to say about gRPC.
    services = {file.name.removesuffix(".proto") for file in files if file.service}
    made = {path: text for path, text in made.items() if wants(path, services)}
    return made | package_files(list(made))


def wants(path: str, services: set[str]) -> bool:
    """Whether a generated file has any content of its own."""
    stem, separator, _ = path.partition("_pb2_grpc.")
    return not separator or stem in services


def main() -> None:
    """Answer one request of buf."""
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    for path, text in sorted(generate(request).items()):
        response.file.add(name=path, content=text)
    sys.stdout.buffer.write(response.SerializeToString())


if __name__ == "__main__":
    main()
