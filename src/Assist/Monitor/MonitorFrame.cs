using System.Runtime.InteropServices;

namespace Farm.Assist.Monitor;

/// <summary>The interrupted virtual-8086 state on the monitor's stack (SDM vol. 3, figure 20-4, under the monitor's own pushes).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
public struct MonitorFrame
{
    public const int Size = 0x4C;

    public uint Edi, Esi, Ebp, MonitorEsp, Ebx, Edx, Ecx, Eax;
    public uint Vector, ErrorCode;
    public uint Eip, Cs, Eflags, Esp, Ss, Es, Ds, Fs, Gs;
}
