# SPDX-License-Identifier: GPL-3.0-or-later
"""The hardware that the lab's outer machine can have: one table entry a profile.

A device's place is written PORT/FUNCTION: the PCI address of the bridge that it sits behind, which
never changes, and its device and function number there. The command in the outer machine finds
"name=place ..." in $LAB_DEVICES; bus numbers are the firmware's business.
"""

import hashlib
import os

# What the outer machine's own drivers take at its start; the command loads others by modprobe.
# (No udev runs there: nothing else is loaded by itself.)
VFIO_MODULES = ['kvm_amd', 'tun', 'vhost_net', 'vfio_pci', 'vfio_iommu_type1',
                'nvme', 'e1000e', 'xhci_pci', 'usb_storage', 'sd_mod', 'usbhid', 'hid_generic']
NVME_MIB = 64
STICK_MIB = 16
FILE_BYTES = 128 << 10


def network_file():
    """What the networks' TFTP server offers as "file": bytes that no other place has."""
    return b''.join(hashlib.sha256(b'alcove %d' % i).digest() for i in range(FILE_BYTES // 32))


class Profile:
    """about: one line. modules: loaded before the command starts. places: of the devices."""

    def __init__(self, about, modules, places=None, build=None):
        self.about = about
        self.modules = modules
        self.places = places or {}
        self.build = build

    def arguments(self, folder):
        """The emulator's arguments for the devices; their files are made in this folder."""
        return self.build(folder) if self.build else []


def blank(folder, name, mib):
    path = os.path.join(folder, name)
    with open(path, 'wb') as f:
        f.truncate(mib << 20)
    return path


def vfio(folder):
    """What somebody might pass through, well and badly placed. Ports have numbers of their own, so
    that a place does not depend on what else is there."""
    argv = []

    def device(text):
        argv.extend(['-device', text])

    def port(slot, function=0, extra=''):
        """A root port at 00:SLOT.FUNCTION; its id is that of its bus."""
        name = f'rp{slot:02x}{function}'
        device(f'pcie-root-port,id={name},chassis={slot},slot={slot * 8 + function},'
               f'addr={slot:#x}.{function}{extra}')
        return name

    def network(name, number):
        files = os.path.join(folder, 'tftp')
        os.makedirs(files, exist_ok=True)
        with open(os.path.join(files, 'file'), 'wb') as f:
            f.write(network_file())
        argv.extend(['-netdev', f'user,id={name},net=10.0.{number}.0/24,restrict=on,tftp={files}'])
        return f'netdev={name},mac=52:54:00:0a:1c:{number:02x}'

    def storage(name, mib):
        path = blank(folder, name + '.img', mib)
        argv.extend(['-drive', f'if=none,id={name},file={path},format=raw,cache=unsafe'])
        return 'drive=' + name

    bus = port(0x10)                    # a graphics card with its sound function
    device(f'ati-vga,id=gpu0,bus={bus},addr=0.0,multifunction=on')
    argv.extend(['-audiodev', 'none,id=silence'])
    device(f'intel-hda,id=sound0,bus={bus},addr=0.1')
    device('hda-duplex,bus=sound0.0,audiodev=silence')
    device(f'bochs-display,id=gpu1,xres=800,yres=600,bus={port(0x11)}')
    device(f'nvme,id=nvme0,serial=LAB-NVME,bus={port(0x12)},{storage("nvme", NVME_MIB)}')
    device(f'e1000e,id=nic0,bus={port(0x13)},{network("net0", 4)}')
    device(f'qemu-xhci,id=xhci0,bus={port(0x14)}')
    device('usb-tablet,bus=xhci0.0,port=1')
    device(f'usb-storage,id=stick0,bus=xhci0.0,port=2,serial=LAB-STICK,{storage("stick", STICK_MIB)}')
    device(f'secondary-vga,id=gpu2,bus={port(0x15)}')
    device(f'e1000,id=nic1,bus={port(0x16)},{network("net1", 5)}')      # knows INTx only
    device(f'pcie-pci-bridge,id=bridge0,bus={port(0x17)}')      # conventional: one group
    device(f'e1000,id=nic2,bus=bridge0,addr=1,{network("net2", 6)}')
    device('secondary-vga,id=gpu3,bus=bridge0,addr=2')
    bad = [port(0x18, 0, ',multifunction=on,disable-acs=on'), port(0x18, 1, ',disable-acs=on')]
    device(f'e1000e,id=nic3,bus={bad[0]},{network("net3", 7)}')         # the bad board
    device(f'bochs-display,id=gpu4,bus={bad[1]}')
    port(0x19)                          # empty, for the monitor's device_add: bus=rp190
    return argv


def sriov(folder):
    """The same, a graphics card that this host does not start on, and an NVMe controller that can be
    split. Its one namespace is everybody's; a virtual function is offline until the physical one gives
    it two queues and an interrupt."""
    path = blank(folder, 'shared.img', NVME_MIB)
    return vfio(folder) + [
        '-device', 'pcie-root-port,id=rp1a0,chassis=26,slot=208,addr=0x1a.0',
        '-device', 'nvme-subsys,id=subsystem',
        '-device', 'nvme,id=pf0,serial=LAB-SPLIT,subsys=subsystem,bus=rp1a0,max_ioqpairs=6,msix_qsize=5,'
        'sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2',
        '-drive', f'if=none,id=shared,file={path},format=raw,cache=unsafe',
        '-device', 'nvme-ns,bus=pf0,drive=shared,nsid=1',
        '-device', 'pcie-root-port,id=rp1b0,chassis=27,slot=216,addr=0x1b.0',
        '-device', 'ati-vga,id=gpu5,bus=rp1b0']


PLACES = {
    'gpu0': '0000:00:10.0/00.0', 'sound0': '0000:00:10.0/00.1',
    'gpu1': '0000:00:11.0/00.0', 'nvme0': '0000:00:12.0/00.0', 'nic0': '0000:00:13.0/00.0',
    'xhci0': '0000:00:14.0/00.0', 'gpu2': '0000:00:15.0/00.0', 'nic1': '0000:00:16.0/00.0',
    'bridge0': '0000:00:17.0/00.0', 'nic2': '0000:00:17.0/00.0/01.0',
    'gpu3': '0000:00:17.0/00.0/02.0', 'nic3': '0000:00:18.0/00.0',
    'gpu4': '0000:00:18.1/00.0', 'spare': '0000:00:19.0'}


TABLE = {
    'plain': Profile('hardware virtualization, networks', ['kvm_amd', 'tun', 'vhost_net']),
    'vfio': Profile('devices to pass through, in good and bad places', VFIO_MODULES, PLACES, vfio),
    'sriov': Profile('the same, a second VGA card, and an NVMe controller that can be split', VFIO_MODULES,
                     {**PLACES, 'pf0': '0000:00:1a.0/00.0', 'vf0': '0000:00:1a.0/00.1',
                      'gpu5': '0000:00:1b.0/00.0'}, sriov),
}
