"""Ways to an image's data with nothing but its connection information and a key, as a hypervisor has it."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rados
import rbd

#: Seconds that one command of qemu-io may take.
TIMEOUT: Final = 60.0


@dataclass(frozen=True)
class Librbd:
    """Through librbd in this process, with a connection for each use. ``configuration`` names the keyring."""

    configuration: str
    #: Whoever has the key gets in: exports are not guarded one by one.
    authenticates: bool = False

    def initiator(self, username: str) -> str | None:
        return None

    def write_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> None:
        with self.image(info) as image:
            image.write(bytes([pattern]) * length, offset)
            image.flush()

    def has_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> bool:
        with self.image(info) as image:
            return bool(image.read(offset, length) == bytes([pattern]) * length)

    def size(self, info: Mapping[str, Any]) -> int:
        with self.image(info) as image:
            return int(image.size())

    def session(self, info: Mapping[str, Any]) -> AbstractContextManager[Any]:
        raise NotImplementedError("clients of Ceph are not cut off one by one")

    @contextmanager
    def image(self, info: Mapping[str, Any]) -> Iterator[Any]:
        """The image, open for writing until the end."""
        with self.connected(info) as ioctx:
            with rbd.Image(ioctx, _Place.of(info).image) as image:
                yield image

    @contextmanager
    def connected(self, info: Mapping[str, Any]) -> Iterator[Any]:
        """The pool that the image is in, for many images of it."""
        place = _Place.of(info)
        conf = {"mon_host": place.monitors}
        with rados.Rados(conffile=self.configuration, rados_id=place.user, conf=conf) as cluster:
            with cluster.open_ioctx(place.pool) as ioctx:
                ioctx.set_namespace(place.namespace)
                yield ioctx


@dataclass(frozen=True)
class QemuIo:
    """Through qemu-io, as a virtual machine's disk is."""

    configuration: str
    authenticates: bool = False

    def write_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> None:
        self._run(info, f"write -q -P {pattern} {offset} {length}", "flush")

    def has_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> bool:
        said = self._run(info, f"read -P {pattern} {offset} {length}")
        return "Pattern verification failed" not in said

    def size(self, info: Mapping[str, Any]) -> int:
        done = subprocess.run(
            ["qemu-img", "info", "--output=json", "--image-opts", self._image(info)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
        return int(json.loads(done.stdout)["virtual-size"])

    def copy_out(self, info: Mapping[str, Any], path: Path) -> None:
        """The whole image into a file, by qemu-img."""
        self._convert(["--image-opts", self._image(info), "-O", "raw", str(path)])

    def copy_in(self, path: Path, info: Mapping[str, Any]) -> None:
        """The file over the whole image, by qemu-img."""
        self._convert(["-n", "-f", "raw", str(path), "--target-image-opts", self._image(info)])

    def _convert(self, words: list[str]) -> None:
        subprocess.run(["qemu-img", "convert", *words], capture_output=True, timeout=TIMEOUT, check=True)

    def session(self, info: Mapping[str, Any]) -> AbstractContextManager[Any]:
        raise NotImplementedError("clients of Ceph are not cut off one by one")

    def _run(self, info: Mapping[str, Any], *commands: str) -> str:
        words = [word for command in commands for word in ("-c", command)]
        done = subprocess.run(
            ["qemu-io", *words, "--image-opts", self._image(info)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode and "Pattern verification failed" not in said:
            raise RuntimeError(said)
        return said

    def _image(self, info: Mapping[str, Any]) -> str:
        place = _Place.of(info)
        monitors = [
            f"file.server.{number}.host={host},file.server.{number}.port={port}"
            for number, (host, port) in enumerate(zip(info["data"]["hosts"], info["data"]["ports"], strict=True))
        ]
        namespace = [f"file.namespace={place.namespace}"] if place.namespace else []
        fields = ["driver=raw", "file.driver=rbd", f"file.pool={place.pool}", *namespace, f"file.image={place.image}"]
        return ",".join([*fields, f"file.user={place.user}", f"file.conf={self.configuration}", *monitors])


@dataclass(frozen=True)
class _Place:
    """Where an image is, as the connection information says it."""

    pool: str
    namespace: str
    image: str
    user: str
    monitors: str

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "_Place":
        data = info["data"]
        pool, *namespace, image = data["name"].split("/")
        monitors = ",".join(f"{host}:{port}" for host, port in zip(data["hosts"], data["ports"], strict=True))
        return cls(pool, namespace[0] if namespace else "", image, data["auth_username"], monitors)
