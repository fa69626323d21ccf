"""Generate the gRPC stubs into `stubs/` and the image that buf checks.

Run by `make protos`. protovalidate's wheel carries no .proto file; its generated module has the
file's descriptor, which protoc reads as a FileDescriptorSet.
"""

import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import status_pb2
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

PROTOS = Path(__file__).parent
STUBS = PROTOS.parent / "stubs"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
GOOGLE_APIS = Path(status_pb2.__file__).parents[2]
VALIDATE = "buf/validate/validate.proto"
# What a refusal is made of: no message of ours names it, and every client must read it.
REFUSALS = ("google/rpc/error_details.proto", "google/rpc/status.proto")
# buf's image format: FileDescriptorProto extension 8042 { is_import (1): true }.
BUF_IS_IMPORT = bytes.fromhex("d2f603020801")


def write_validate_descriptor(path: Path) -> None:
    descriptor = FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    path.write_bytes(FileDescriptorSet(file=[descriptor]).SerializeToString())


def mark_imports(image: Path) -> None:
    """Mark every file that is not ours as an import, so that buf lints ours alone."""
    files = FileDescriptorSet.FromString(image.read_bytes())
    for file in files.file:
        if file.name not in own_protos():
            file.MergeFromString(BUF_IS_IMPORT)
    image.write_bytes(files.SerializeToString())


def own_protos() -> list[str]:
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def plugins() -> list[str]:
    """Name mypy-protobuf's plugins by path: the virtual environment need not be active."""
    folder = Path(sys.executable).parent
    return [
        f"--plugin={name}={folder / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]


def run(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        sys.exit(f"protoc failed: {' '.join(arguments)}")


def generate(into: Path) -> None:
    """Write stubs and image into an empty folder."""
    validate = into / "validate.binpb"
    write_validate_descriptor(validate)
    sources = [f"-I{PROTOS}", f"-I{WELL_KNOWN}", f"--descriptor_set_in={validate}", *plugins()]
    messages = [f"--python_out={into}", f"--mypy_out=quiet:{into}"]
    services = [f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}"]
    run(*sources, *messages, VALIDATE)
    run(*sources, *messages, *services, *own_protos())
    image = into / "image.binpb"
    everything = ["--include_imports", "--include_source_info", f"--descriptor_set_out={image}"]
    run(*sources, f"-I{GOOGLE_APIS}", *everything, *own_protos(), *REFUSALS)
    mark_imports(image)
    for module in into.rglob("*_pb2.py"):
        for folder in list(module.relative_to(into).parents)[:-1]:
            (into / folder / "__init__.py").touch()


def main() -> None:
    # Beside the old ones first: what runs meanwhile finds either the old or the new.
    with tempfile.TemporaryDirectory(dir=STUBS.parent, prefix=".stubs-") as folder:
        fresh = Path(folder) / "fresh"
        fresh.mkdir()
        generate(fresh)
        if STUBS.exists():
            STUBS.rename(Path(folder) / "old")
        fresh.rename(STUBS)


if __name__ == "__main__":
    main()
