// Joins a topic, and goes on where it was whenever the client comes back. The socket has `params: { positions: true }`.
export function channelThatResumes(socket, topic, params = {}) {
  let position;
  const channel = socket.channel(topic, () => (position ? { ...params, since: position } : params));
  channel.onMessage = (event, payload, ref) => {
    if (event === 'phx_reply') {
      if (ref === channel.joinRef()) position = payload.response.position ?? position;
    } else if (/^[0-9a-f]+-\d+$/.test(ref)) {
      position = ref;
    }
    return payload;
  };
  return channel;
}
