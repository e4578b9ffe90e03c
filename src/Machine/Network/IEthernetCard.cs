namespace Farm.Machine.Network;

/// <summary>The receiver of a network card.</summary>
public interface IEthernetCard
{
    /// <summary>False while a frame would be lost for want of a buffer; the cable holds frames back until <see cref="EthernetCable.RoomMade"/>.</summary>
    bool HasRoom { get; }

    /// <summary>A frame from the wire, at least <see cref="Ethernet.MinimumFrame"/> bytes. A card that is off or filters it drops it.</summary>
    void Receive(ReadOnlySpan<byte> frame);
}

/// <summary>What is at the other end of a card's cable.</summary>
public interface INetworkPeer
{
    /// <summary>A frame that the guest sent; answers go to <see cref="EthernetCable.Deliver"/>, during the call or later.</summary>
    void Accept(ReadOnlySpan<byte> frame);
}
