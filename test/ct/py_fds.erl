%% SPDX-License-Identifier: Apache-2.0
%% @doc What the suites about descriptors share: connections, and the protocols and
%% handlers in Python that serve them.
-module(py_fds).

-export([code/0, with/2, echo/1, pair/0, pair/1, copy/1, said/2, heard/2, closed/1, still_ours/1,
         stats/1, connections/2, log/1, target/1, gate/1, busy/1, under_way/2]).

-include_lib("stdlib/include/assert.hrl").

-define(LOOPBACK, {127, 0, 0, 1}).
-define(WAIT, 60000).

with(Options, Fun) ->
    {ok, Ctx} = py_reactor_context:start_link(test, auto, maps:merge(#{setup_code => code()},
                                                                     Options)),
    Result = Fun(Ctx),
    ok = py_reactor_context:stop(Ctx),
    Result.

echo(Fun) ->
    with(#{protocol => target('Echo')}, Fun).

%% A connection: our end, and a copy of the descriptor of the other one.
pair() ->
    pair([]).

pair(Options) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {ip, ?LOOPBACK} | Options]),
    {ok, Port} = inet:port(Listener),
    {ok, Ours} = gen_tcp:connect(?LOOPBACK, Port, [binary, {active, false} | Options], ?WAIT),
    {ok, Theirs} = gen_tcp:accept(Listener, ?WAIT),
    ok = gen_tcp:close(Listener),
    {Ours, copy(Theirs)}.

copy(Socket) ->
    {ok, Number} = inet:getfd(Socket),
    {ok, Fd} = py:dup_fd(Number),
    ok = gen_tcp:close(Socket),
    Fd.

said(Socket, Data) ->
    ok = gen_tcp:send(Socket, Data),
    ?assertEqual({ok, Data}, gen_tcp:recv(Socket, byte_size(Data), ?WAIT)).

heard(Socket, Size) ->
    {ok, Data} = gen_tcp:recv(Socket, Size, ?WAIT),
    Data.

closed(Socket) ->
    ?assertEqual({error, closed}, gen_tcp:recv(Socket, 0, ?WAIT)),
    ok = gen_tcp:close(Socket).

%% The descriptor is as it was: what is written there arrives.
still_ours({Ours, Fd}) ->
    with(#{protocol => {'__main__', 'Echo'}}, fun(Other) ->
        ok = py_reactor_context:handoff(Other, Fd),
        said(Ours, <<"still here">>)
    end),
    closed(Ours).

stats(Ctx) ->
    {ok, Stats} = py_reactor_context:stats(Ctx),
    Stats.

connections(Ctx, N) ->
    py_ct:eventually(fun() -> maps:get(active_connections, stats(Ctx)) =:= N orelse stats(Ctx) end).

log(Ctx) ->
    {ok, Log} = py:eval(Ctx, "log"),
    Log.

target(Name) -> {'__main__', Name}.

%% A descriptor in Python from which nothing can be read, until the fun is called.
gate(Ctx) ->
    {ok, {R, W}} = py:eval(Ctx, "os.pipe()"),
    Gate = ["/proc/", integer_to_list(py_ct:helper_pid(Ctx)), "/fd/", integer_to_list(W)],
    {R, fun() ->
                ok = file:write_file(Gate, <<"x">>),
                py_ct:eventually(fun() -> {ok, []} =:= py:eval(Ctx, "__import__('select').select(["
                                                               ++ integer_to_list(R) ++
                                                               "], [], [], 0)[0]") end),
                ok = py:exec(Ctx, io_lib:format("os.close(~b); os.close(~b)", [R, W]))
        end}.

%% Keep the context's main thread, until the fun is called.
busy(Ctx) ->
    {R, Open} = gate(Ctx),
    Ref = py:cast(Ctx, os, read, [R, 1]),
    fun() ->
            ok = Open(),
            {ok, <<"x">>} = py:await(Ref)
    end.

under_way(Ctx, N) ->
    py_ct:eventually(fun() ->
                             {Server, _} = py_registry:reactor(Ctx),
                             #{waiting := Waiting} = gen_server:call(Server, stats),
                             Waiting =:= N orelse Waiting
                     end).

%%% In Python

code() ->
    protocols() ++ more_protocols() ++ handlers().

protocols() ->
    "import asyncio, os, threading, time\n"
    "import erlang\n"
    "from erlang import reactor, server\n"
    "log = []\n"
    "class Echo(reactor.Protocol):\n"
    "    def data_received(self, data):\n"
    "        self.write_buffer.extend(data)\n"
    "        return 'write_pending'\n"
    "    def connection_lost(self): log.append('lost')\n"
    "class Tells(Echo):\n"
    "    def connection_made(self, fd, info):\n"
    "        plain = lambda v: str(v) if isinstance(v, str) else v\n"
    "        info = sorted((plain(k), plain(v)) for k, v in info.items())\n"
    "        self.write_buffer += repr(info).encode()\n"
    "class Http(reactor.Protocol):\n"
    "    def __init__(self): self.request = bytearray()\n"
    "    def data_received(self, data):\n"
    "        self.request += data\n"
    "        if b'\\r\\n\\r\\n' not in self.request: return 'continue'\n"
    "        path = self.request.split()[1]\n"
    "        self.write_buffer += b'HTTP/1.0 200 OK\\r\\n\\r\\n' + path\n"
    "        return 'write_pending'\n"
    "    def write_ready(self):\n"
    "        del self.write_buffer[:self.write(self.write_buffer)]\n"
    "        return 'continue' if self.write_buffer else 'close'\n"
    "class Fails(reactor.Protocol):\n"
    "    def connection_made(self, fd, info): raise LookupError('not today')\n"
    "class Later(reactor.Protocol):\n"
    "    def data_received(self, data):\n"
    "        self.write_buffer += data.upper()\n"
    "        threading.Timer(0.05, reactor.signal_write_ready, [self.fd]).start()\n"
    "        return 'async_pending'\n".

more_protocols() ->
    "class Counts(reactor.Protocol):\n"
    "    got = 0\n"
    "    def data_received(self, data):\n"
    "        self.got += len(data)\n"
    "        return 'continue'\n"
    "    def eof_received(self):\n"
    "        self.write_buffer += b'%d' % self.got\n"
    "        return 'write_pending'\n"
    "class Bye(Echo):\n"
    "    def connection_lost(self): self.write(b'bye')\n"
    "class Much(Echo):\n"
    "    def connection_made(self, fd, info): self.write_buffer += b'x' * 5000000\n"
    "class Says(Echo):\n"
    "    def connection_made(self, fd, info): self.write_buffer += b'said'\n"
    "class Logs(Echo):\n"
    "    def data_received(self, data): log.append(bytes(data))\n"
    "class Blocks(reactor.Protocol):\n"
    "    def connection_made(self, fd, info):\n"
    "        log.append('blocks')\n"
    "        os.read(info['gate'], 1)\n".

handlers() ->
    "async def waits(fd, info):\n"
    "    log.append('waits')\n"
    "    await asyncio.sleep(3600)\n"
    "async def stubborn(fd, info):\n"
    "    log.append('waits')\n"
    "    try: await asyncio.sleep(3600)\n"
    "    except asyncio.CancelledError: pass\n"
    "    return await server.adopt(fd, stream)\n"
    "def keeps(fd, info): log.append(fd)\n"
    "async def stream(reader, writer):\n"
    "    while line := await reader.readline():\n"
    "        writer.write(line.upper())\n"
    "        await writer.drain()\n"
    "    writer.close()\n"
    "async def listen(fd, info):\n"
    "    log.append(await server.serve(fd, stream))\n"
    "    return log[-1]\n"
    "async def stop(): await server.stop_serving(log.pop(), wait_closed=False)\n"
    "async def adopt(fd, info): return await server.adopt(fd, stream)\n"
    "def accept(fd, info): return reactor.serve(fd, Echo, info.get('max'))\n"
    "def fds(): return len(os.listdir('/proc/self/fd'))\n".
