using System.Globalization;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Firmware;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Acpi;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Cmos;
using Farm.Machine.Devices.Dma;
using Farm.Machine.Devices.FirmwareConfig;
using Farm.Machine.Devices.Floppy;
using Farm.Machine.Devices.Hpet;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Devices.Lpt;
using Farm.Machine.Devices.Nics.Ne2000;
using Farm.Machine.Devices.Nics.Rtl8139;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Devices.Pit;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Devices.Uart;
using Farm.Machine.Devices.Vga;
using Farm.Machine.Devices.Vga.Cirrus;
using Farm.Machine.Devices.Virtio.Block;
using Farm.Machine.Devices.Virtio.Net;
using Farm.Machine.Hypervisors;
using Farm.Machine.Memory;
using Farm.Machine.Network;
using Farm.Machine.Network.Slirp;
using Farm.Machine.Storage;
using Farm.Machine.Time;
using Iced.Intel;


namespace Farm.Machine;

/// <summary>Wires the PC by hand: the one place that knows which pin goes where.</summary>
public static class MachineBuilder
{
    /// <summary>PCI slots: 0 to 2 hold the chipset and the VGA, cards follow.</summary>
    private const int FirstNetworkSlot = 3;
    private const int FirstVirtioDiskSlot = 8;

    public static PcMachine Build(MachineOptions options, IHypervisor hypervisor)
    {
        if (hypervisor.Unavailable is { } why)
            throw new HostException(why);
        var model = CpuModel.Find(options.CpuModel)
            ?? throw new BadInputException($"Unknown CPU model '{options.CpuModel}'; there are {string.Join(", ", CpuModel.All.Select(known => known.Name))}.");
        if (options.MemoryMiB < 1 || (ulong)options.MemoryMiB > MemoryMap.MostRam() >> 20)
            throw new BadInputException($"{options.MemoryMiB} MiB of memory are not possible; give 1 to {MemoryMap.MostRam() >> 20} MiB.");
        if (options.Vcpus > 1 && !model.Has(CpuFeatures.Apic))
            throw new BadInputException($"{options.Vcpus} processors need a local APIC, which the CPU model '{model.Name}' lacks; give p3 or x86-64.");
        var firmware = FirmwareSet.Load(new FirmwareRequest(options.Firmware, options.BiosFile, options.Vgabios));
        var owned = new List<IDisposable>();
        try
        {
            return new PcMachine(Wire(options, hypervisor, model, firmware, owned));
        }
        catch
        {
            foreach (var item in owned)
                item.Dispose();
            throw;
        }
    }

    private static MachineParts Wire(MachineOptions options, IHypervisor hypervisor, CpuModel model, FirmwareSet firmware, List<IDisposable> owned)
    {
        T Own<T>(T item) where T : IDisposable
        {
            owned.Add(item);
            return item;
        }

        var strength = (LoaderStrength)options.Assist;
        var monitor = MonitorImage.Build();
        var loader = LoaderImage.Build(firmware, new AssistImage(monitor.Blob, MonitorImage.EntryOffset), strength);
        var layout = new MemoryMap((ulong)options.MemoryMiB << 20, firmware.Bios.Image.Length);
        bool native = options.Assist == AssistStrength.Native;
        var capabilities = hypervisor.Capabilities;
        bool ownApics = native && capabilities.OwnLocalApics && (options.Vcpus > 1 || capabilities.OwnLocalApicForOne) && model.Has(CpuFeatures.Apic);
        var partition = Own(hypervisor.CreatePartition(new PartitionOptions(options.Vcpus, native, model, ownApics)));
        var memory = Own(new PcMemory(partition.Memory, layout, firmware.Bios.Image.Span, loader.Image.Span));

        var clock = new VirtualClock();
        var events = new EventLog(clock);
        var ports = new PortBus(events);
        var mmio = new MmioBus(events);
        var system = new SystemControl();

        ProcessorPins[] pins = [.. Enumerable.Range(0, options.Vcpus).Select(processor => new ProcessorPins(processor, system))];
        var interrupts = new InterruptControllers(clock, pins, model, partition.LocalApics);
        partition.LocalApics?.InitRequested = () => system.RequestInit(processor: 0);
        var irq = interrupts.Irq;
        var irq0 = new SwitchedLine(irq.Connect(0));
        var irq8 = new SwitchedLine(irq.Connect(8));
        var hpet = new HpetTimerBlock(clock, (input, level) => interrupts.IoApic?.SetInput(input, level), irq.Connect(0), irq.Connect(8))
        {
            LegacyReplacementChanged = legacy => irq0.Connected = irq8.Connected = !legacy,
        };
        var pit = new Pit8254(clock, irq0.Pin);
        var keyboard = new I8042(clock, irq.Connect(1), irq.Connect(12), system);
        var systemPorts = new SystemPorts(pit, system);
        var numericError = new NumericErrorLatch(irq.Connect(13));
        var dma = new I8237(memory);
        var storage = Own(new StorageActivity(clock));
        var busMaster = new BusMasterIde(memory);
        var ata0 = Channel("ata0", 0x1F0, 0x3F6, 14, busMaster.Primary);
        var ata1 = Channel("ata1", 0x170, 0x376, 15, busMaster.Secondary);
        var floppies = Floppies(options);
        foreach (var drive in floppies.OfType<FloppyDrive>())
            Own(drive);
        var floppy = new FloppyController(irq.Connect(6), dma.Channel(2), clock, floppies, storage);
        var vga = Own(options.Vgabios == "cirrus" ? new CirrusVga(clock) : new VgaDevice(clock));
        var com1 = new Uart16550("COM1", Uart16550.Com1, clock, irq.Connect(4));
        var com2 = new Uart16550("COM2", Uart16550.Com2, clock, irq.Connect(3));
        var lpt1 = new ParallelPort("LPT1", ParallelPort.Lpt1, irq.Connect(7));
        MachineDoor[] doors = [.. pins.Select((_, processor) => new MachineDoor(ports, mmio, memory, interrupts, processor))];
        doors[0].NumericError = numericError;
        IVcpu[] vcpus = [.. doors.Select((door, processor) => Own(partition.BindVcpu(processor, door)))];

        var pci = new PciBus(ports, mmio, system, layout.RamBelow4G);
        var piix3 = new Piix3(irq);
        pci.RouteInterrupts(piix3.ConnectPin);
        bool seabios = firmware.Name == "seabios";
        var bridge = new I440Fx(layout.RamBelow4G, qemuSubsystem: seabios)
        {
            PamChanged = region => memory.SetShadow(region.Start, region.Length, region.ReadRam, region.WriteRam),
        };
        bridge.SmramShown = memory.ShowSmram;

        // SMI# goes to the bootstrap processor, the only one whose SMBASE the BIOSes move.
        doors[0].SystemManagement = active => bridge.SystemManagement = active;
        if (capabilities.SystemManagement && options.SystemManagement)
            system.SmiRequested = () => pins[0].Execution?.RaiseSmi();
        pci.Add(0, 0, bridge);
        pci.Add(1, 0, piix3);
        pci.Add(1, 1, busMaster);
        var power = new Piix4PowerManagement(clock, irq.Connect(9), system, ports);
        pci.Add(1, 3, power);
        // The Bochs BIOS copies 128 KiB from a VGA's ROM over C0000h-DFFFFh; the loader has put the VGABIOS there already.
        var rom = seabios ? firmware.VgaBioses[0].Image : default;
        pci.Add(2, 0, vga is CirrusVga adapter ? new CirrusPciVga(adapter, partition.Memory, rom) : new BochsPciVga(vga, partition.Memory, rom));

        var disks = new DiskParameters?[4];
        var cdroms = new List<AtapiCdRom>();
        int position = 0;
        foreach (string path in options.Disks)
        {
            var image = Own(ImageFile.OpenDisk(path, options.WriteThrough));
            disks[position] = DiskParameters.Detect(image);
            (position < 2 ? ata0 : ata1).Attach(position % 2, new AtaDisk(image, disks[position]!.Physical));
            position++;
        }
        for (int i = 0; i < options.VirtioDisks.Count; i++)
        {
            var image = ImageFile.OpenDisk(options.VirtioDisks[i], options.WriteThrough);
            pci.Add(FirstVirtioDiskSlot + i, 0, Own(new VirtioBlock(image, $"virtio{i}", memory, clock, storage)));
        }
        position = Math.Max(position, 2);
        foreach (string? path in options.Cdroms)
        {
            var disc = path is null ? null : Own(ImageFile.OpenCdRom(path));
            var drive = new AtapiCdRom(disc);
            if (disc is not null && ImageFile.Warning(disc) is { } warning)
                events.Report("media", warning);
            cdroms.Add(drive);
            (position < 2 ? ata0 : ata1).Attach(position % 2, drive);
            position++;
        }
        var cmos = new Mc146818(clock, irq8.Pin, new CmosSettings
        {
            BaseTime = options.RtcStart,
            LowMemory = layout.RamBelow4G,
            HighMemory = layout.RamAbove4G,
            DriveA = CmosType(floppies[0]),
            DriveB = CmosType(floppies[1]),
            Disk0 = disks[0],
            Disk1 = disks[1],
            Disk2 = disks[2],
            Disk3 = disks[3],
            BootOrder = [.. options.Order.Select(letter => letter switch { 'a' => BootDevice.Floppy, 'c' => BootDevice.Disk, 'd' => BootDevice.Cdrom, _ => BootDevice.Network })],
            Processors = options.Vcpus,
        });

        var (cables, isaCards) = AddNetworkCards(options.Nics, clock, memory, events, pci, irq, owned);
        List<IPortDevice> portDevices = [.. isaCards, pci, interrupts.Pic, pit, keyboard, systemPorts, numericError, dma, floppy, ata0, ata1, vga, cmos, com1, com2, lpt1, power];
        if (seabios)
            portDevices.Add(QemuConfiguration(options, layout, memory));
        foreach (var device in portDevices)
            ports.Map(device);
        mmio.Map(vga.Name, vga, VgaDevice.WindowBase, VgaDevice.WindowSize);
        if (capabilities.StoresUnseen)
            vga.MapWindow = memory.ShowVideo;
        mmio.Map(hpet.Name, hpet, HpetTimerBlock.DefaultBase, HpetTimerBlock.Length);
        if (interrupts.IoApic is { } ioApic)
            mmio.Map(ioApic.Name, ioApic, IoApic.DefaultBase, IoApic.Length);
        if (ports.Conflicts.Concat(mmio.Conflicts).ToList() is { Count: > 0 } conflicts)
            throw new InvalidOperationException(string.Join(' ', conflicts));

        AtaChannel Channel(string name, ushort command, ushort control, int wire, BusMasterIdeChannel master)
        {
            var channel = new AtaChannel(name, command, control, master.Intercept(irq.Connect(wire)), clock, storage) { BusMaster = master };
            master.StartSet = channel.BusMasterStarted;
            return channel;
        }

        bool skipsIdle = vcpus.All(static vcpu => vcpu.TimeStampRate is not null);
        var processors = Own(new Processors([.. vcpus.Select((vcpu, processor) => pins[processor].Execution = new Execution(
            vcpu, partition.Memory, doors[processor], monitor,
            new AssistOptions
            {
                Strength = options.Assist,
                Model = model,
                Processor = processor,
                TrapsTableReads = capabilities.Umip,
                StoresUnseen = capabilities.StoresUnseen,
                TrapsKeyQuestions = skipsIdle && !capabilities.VirtualTime,
                Refused = options.Refuse.Count == 0 ? AssistOptions.RefusedByDefault : new HashSet<Code>([.. AssistOptions.RefusedByDefault, .. options.Refuse.Select(ParseCode)]),
            },
            hypervisor))], ownApics));
        return new MachineParts
        {
            Options = options,
            Firmware = firmware,
            Partition = partition,
            Memory = memory,
            Clock = clock,
            Events = events,
            Ports = ports,
            Mmio = mmio,
            Doors = doors,
            Vcpu = vcpus[0],
            Processors = processors,
            Time = capabilities.VirtualTime ? new InstructionTime(() => processors.Instructions) : new HostTime(vcpus[0].KickAfter, () => vcpus[0].ProcessorTime, skipsIdle),
            System = system,
            SystemPorts = systemPorts,
            Interrupts = interrupts,
            Keyboard = keyboard,
            Com1 = com1,
            Vga = vga,
            Screen = new ScreenReader(vga),
            Storage = storage,
            Cables = cables,
            Removable = new RemovableDrives(floppies, cdroms, options.WriteThrough),
            Devices = [.. portDevices, .. interrupts.Apics, hpet],
            Owned = owned,
        };
    }

    /// <summary>Each card with a cable to a network of its own; those on PCI from slot 3 on. Returns the cables and the cards on ISA.</summary>
    private static (List<EthernetCable> Cables, List<IPortDevice> IsaCards) AddNetworkCards(
        IReadOnlyList<NicOptions> nics, VirtualClock clock, PcMemory memory, EventLog events, PciBus pci, IrqHub irq, List<IDisposable> owned)
    {
        var cables = new List<EthernetCable>();
        var isaCards = new List<IPortDevice>();
        foreach (var nic in nics)
        {
            var cable = new EthernetCable(clock);
            owned.Add(cable);
            owned.Add(new SlirpNetwork(nic, clock, cable, events));
            var address = nic.Mac ?? MacAddress.OfCard(cables.Count);
            if (nic.Model == NicModel.Ne2kIsa && isaCards.Count > 0)
                throw new BadInputException("There can be one ne2k-isa card only: its ports and its interrupt are fixed. Give ne2k for the others.");
            if (nic.Model == NicModel.Ne2kIsa)
                isaCards.Add(new Ne2000Isa(0x300, clock, irq.Connect(10), cable, address));
            else
                pci.Add(FirstNetworkSlot + cables.Count, 0, PciCard(nic, cable, address));
            cables.Add(cable);
        }
        return (cables, isaCards);

        PciDevice PciCard(NicOptions nic, EthernetCable cable, MacAddress address) => nic.Model switch
        {
            NicModel.Ne2k => new Rtl8029(clock, cable, address) { Rom = nic.LoadRom() },
            NicModel.Rtl8139 => new Rtl8139C(memory, clock, cable, address) { Rom = nic.LoadRom() },
            _ => new VirtioNet(memory, cable, address) { Rom = nic.LoadRom() },
        };
    }

    /// <summary>What SeaBIOS asks fw_cfg for.</summary>
    private static FwCfg QemuConfiguration(MachineOptions options, MemoryMap layout, PcMemory memory)
    {
        var config = new FwCfg(memory);
        config.Set(FwCfg.RamSize, layout.RamBelow4G);
        config.Set(FwCfg.NoGraphic, (ushort)0);
        config.Set(FwCfg.ProcessorCount, (ushort)options.Vcpus);
        config.Set(FwCfg.MaximumProcessors, (ushort)options.Vcpus);
        config.Set(FwCfg.BootMenu, (ushort)(options.BootMenu ? 1 : 0));
        config.Set(FwCfg.IrqZeroOverride, 1u);
        config.SetE820(layout.E820.Select(entry => (entry.Start, entry.Length, entry.Type)));
        config.SetBootOrder(options.Order.SelectMany(letter => BootPaths(options, letter)));
        return config;
    }

    /// <summary>Open Firmware device paths of a letter of the boot order, as SeaBIOS writes them.</summary>
    private static IEnumerable<string> BootPaths(MachineOptions options, char letter)
    {
        const string ide = "/pci@i0cf8/ide@1,1";
        return letter switch
        {
            'a' => ["/pci@i0cf8/isa@1/fdc@03f0/floppy@0"],
            'c' => [.. options.Disks.Select((_, index) => Drive(index)), .. options.VirtioDisks.Select((_, index) => string.Create(CultureInfo.InvariantCulture, $"/pci@i0cf8/scsi@{FirstVirtioDiskSlot + index:x}/disk@0,0"))],
            'n' => options.Nics.Select((_, index) => string.Create(CultureInfo.InvariantCulture, $"/pci@i0cf8/ethernet@{FirstNetworkSlot + index:x}/ethernet-phy@0")),
            'd' => options.Cdroms.Select((_, index) => Drive(Math.Max(options.Disks.Count, 2) + index)),
            _ => [],
        };

        static string Drive(int position) => $"{ide}/drive@{position / 2}/disk@{position % 2}";
    }

    private static Code ParseCode(string name) => Enum.TryParse<Code>(name, ignoreCase: true, out var code) && Enum.IsDefined(code)
        ? code
        : throw new BadInputException($"'{name}' is not an instruction; give Iced's code name, such as Lmsw_rm16 or Rdpmc.");

    /// <summary>Drives A: and B:. A: is there without a disk too; B: only with one.</summary>
    private static FloppyDrive?[] Floppies(MachineOptions options)
    {
        var drives = new FloppyDrive?[2];
        for (int i = 0; i < options.Floppies.Count; i++)
            drives[i] = options.Floppies[i] is { } path ? new FloppyDrive(ImageFile.OpenFloppy(path, options.WriteThrough)) : new FloppyDrive(FloppyDriveType.Drive1440K);
        drives[0] ??= new FloppyDrive(FloppyDriveType.Drive1440K);
        return drives;
    }

    private static FloppyDriveType CmosType(FloppyDrive? drive) => drive is null ? FloppyDriveType.None : drive.Type;
}
