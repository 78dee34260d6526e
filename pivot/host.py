"""What kind of machine this is, and the command that installs a part on it."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

# The package manager of each family of systems, keyed by the ID or ID_LIKE of /etc/os-release.
INSTALLERS = {
    "debian": "apt-get install -y --no-install-recommends",
    "ubuntu": "apt-get install -y --no-install-recommends",
    "fedora": "dnf install -y",
    "suse": "zypper install -y",
    "arch": "pacman -S --needed --noconfirm",
    "alpine": "apk add",
    "macos": "brew install",
}

# The names its packages go by: one list for the systems that agree, and those that differ.
PACKAGES = {
    "docker": {
        "debian": "docker.io",
        "ubuntu": "docker.io",
        "fedora": "moby-engine",
        "macos": "--cask docker-desktop",
        "": "docker",
    },
    "podman": {
        # Debian's podman recommends most of these; without them limits, networks or `kube play` fail.
        "debian": "podman runc catatonit netavark aardvark-dns iptables uidmap",
        "ubuntu": "podman runc catatonit netavark aardvark-dns iptables uidmap",
        "": "podman",
    },
    "bubblewrap": {"": "bubblewrap"},
    "debootstrap": {
        # What Debian's releases are signed with: Ubuntu has it in a package of its own.
        "ubuntu": "debootstrap debian-archive-keyring",
        "": "debootstrap",
    },
    "chromium": {"macos": "--cask google-chrome", "": "chromium"},
    "wrk": {"": "wrk"},
    "prometheus": {"fedora": "golang-github-prometheus", "": "prometheus"},
    "fonts": {
        "arch": "ttf-dejavu",
        "alpine": "font-dejavu",
        "fedora": "dejavu-sans-fonts",
        "suse": "dejavu-fonts",
        "": "fonts-dejavu-core",
    },
}

ROOTS_PATH = ["/usr/local/sbin", "/usr/sbin", "/sbin"]


@dataclass(frozen=True)
class Host:
    """A machine, as far as installing things on it goes."""

    name: str  # for people: "Debian GNU/Linux 12 (bookworm)"
    family: str  # a key of INSTALLERS, or "linux" or "windows" where none fits
    root: bool = False
    systemd: bool = False
    wsl: bool = False

    @classmethod
    def detect(cls) -> "Host":
        if sys.platform == "darwin":
            return cls(f"macOS {platform.mac_ver()[0]}", "macos")
        if sys.platform == "win32":
            return cls(f"Windows {platform.release()}", "windows")
        try:
            release = platform.freedesktop_os_release()
        except OSError:
            release = {}
        families = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
        wsl = "microsoft" in platform.release().lower()
        return cls(
            name=release.get("PRETTY_NAME", "Linux") + (" under WSL 2" if wsl else ""),
            family=next(
                (family for family in families if family in INSTALLERS), "linux"
            ),
            root=os.geteuid() == 0,
            systemd=Path("/run/systemd/system").is_dir(),
            wsl=wsl,
        )

    @property
    def linux(self) -> bool:
        return self.family not in ("macos", "windows")

    @property
    def apt(self) -> bool:
        return self.family in ("debian", "ubuntu")

    def as_root(self, command: str) -> str:
        """The command as someone would type it here."""
        return command if self.root or not self.linux else f"sudo {command}"

    def packages(self, part: str) -> str:
        names = PACKAGES[part]
        return names.get(self.family, names[""])

    def install(self, part: str) -> str:
        """The command, or where there is no known one the advice, that gets a part here."""
        if self.family == "windows":
            return "install WSL 2 (wsl --install -d Debian) and work inside it, or use the dev container"
        if self.family == "ubuntu" and part == "chromium":
            # Ubuntu's own package only starts a snap, which containers and many servers cannot run.
            return f"{sys.executable} -m playwright install --with-deps chromium"
        if self.family == "linux":
            return f"install {self.packages(part)} with your package manager"
        return self.as_root(f"{INSTALLERS[self.family]} {self.packages(part)}")

    def start_docker(self) -> str:
        """The command that starts the engine that is already installed."""
        if self.family == "macos":
            return "open -a Docker"
        if self.systemd:
            return self.as_root("systemctl enable --now docker")
        return self.as_root("make system") if self.apt else self.as_root("dockerd &")


def program(name: str) -> str:
    """Where a program is, or an empty string. dockerd and its like are not on everybody's PATH."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *ROOTS_PATH])
    return shutil.which(name, path=path) or ""
