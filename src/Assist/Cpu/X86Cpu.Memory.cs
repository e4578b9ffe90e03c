namespace Farm.Assist.Cpu;

// Guest memory by segment and offset. All accessors check the segment (limit, type, unusable: #GP, #SS for SS), translate
// (#PF), and commit nothing when they fault.
public sealed unsafe partial class X86Cpu
{
    public T Read<T>(Seg segment, ulong offset) where T : unmanaged => throw new NotImplementedException();

    public void Write<T>(Seg segment, ulong offset, T value) where T : unmanaged => throw new NotImplementedException();

    /// <summary>First half of a read-modify-write: checks and reads as a write would; <see cref="WriteRmw{T}"/> must follow or nothing happens.</summary>
    public T ReadRmw<T>(Seg segment, ulong offset) where T : unmanaged => throw new NotImplementedException();

    /// <summary>Second half: stores at the place of the last <see cref="ReadRmw{T}"/>; cannot fault.</summary>
    public void WriteRmw<T>(T value) where T : unmanaged => throw new NotImplementedException();

    /// <summary>Pushes with the stack's address size (SS.B, or 64-bit mode); RSP changes only after the store went through.</summary>
    public void Push<T>(T value) where T : unmanaged => throw new NotImplementedException();

    public T Pop<T>() where T : unmanaged => throw new NotImplementedException();

    /// <summary>Reads the stack <paramref name="displacement"/> bytes above (E)SP without popping.</summary>
    public T Peek<T>(int displacement) where T : unmanaged => throw new NotImplementedException();

    /// <summary>Adds to SP, ESP or RSP by the stack's address size.</summary>
    public void AdjustSp(long delta) => throw new NotImplementedException();
}
