%% SPDX-License-Identifier: Apache-2.0
%% @doc The parties (py_parties) that have to do with sockets and the web: those who
%% hand descriptors over, those who speak over them, and those who send requests to
%% web applications.
-module(py_net_parties).

-export([code/0, of_pool/1, of_application/0]).

-define(LOOPBACK, {127, 0, 0, 1}).
-define(WAIT, 60000).
%% What has ended on the other side says so in several ways.
-define(IS_END(Why), (Why =:= closed orelse Why =:= econnreset orelse Why =:= econnrefused
                      orelse Why =:= enotconn orelse Why =:= epipe
                      orelse Why =:= econnaborted)).

%% What the helpers of all of them begin with.
code() ->
    "import asyncio, erlang, erlang.reactor, erlang.server, time\n" ++ serving() ++ applications().

serving() ->
    "class Echo(erlang.reactor.Protocol):\n"
    "    def data_received(self, data):\n"
    "        self.write_buffer += data\n"
    "        return 'write_pending'\n"
    "async def echo(reader, writer):\n"
    "    while data := await reader.read(1000):\n"
    "        writer.write(data)\n"
    "        await writer.drain()\n"
    "    writer.close()\n"
    "async def serve(fd, info): return await erlang.server.serve(fd, echo)\n"
    "async def adopt(fd, info): return await erlang.server.adopt(fd, echo)\n"
    "def accept(fd, info): return erlang.reactor.serve(fd, Echo)\n"
    "async def never(fd, info): await asyncio.sleep(3600)\n".

applications() ->
    "async def web(scope, receive, send):\n"
    "    if scope['type'] == 'lifespan':\n"
    "        for kind in ('startup', 'shutdown'):\n"
    "            await receive()\n"
    "            await send({'type': 'lifespan.' + kind + '.complete'})\n"
    "        return\n"
    "    if scope['path'] == '/never': await asyncio.sleep(3600)\n"
    "    await send({'type': 'http.response.start', 'status': 204, 'headers': []})\n"
    "    await send({'type': 'http.response.body'})\n"
    "def old_web(environ, start_response):\n"
    "    time.sleep(0.001)\n"
    "    start_response('200 OK', [])\n"
    "    return [environ['wsgi.input'].read()]\n".

%%% Requests to applications, whom the end of a pool concerns

of_pool(Pool) ->
    Options = #{pool => Pool, timeout => infinity},
    Asgi = fun(Path) -> py_asgi:run(parties_of_ct, web, #{path => Path}, <<"body">>, Options) end,
    Wsgi = fun() -> py_wsgi:run(parties_of_ct, old_web, #{'wsgi.input' => <<"body">>}, Options)
           end,
    [{asgi, fun() -> until_error(fun() -> Asgi(<<"/">>) end) end},
     {asgi_waits, fun() -> Asgi(<<"/never">>) end},
     {wsgi, fun() -> until_error(Wsgi) end}].

%%% Descriptors; these contexts are nobody else's

of_application() ->
    [{short_connections, party(#{protocol => {'__main__', 'Echo'}}, fun short/1)},
     {lasting_connection, party(#{protocol => {'__main__', 'Echo'}}, fun lasting/1)},
     {asyncio_connection, party(#{handler => {'__main__', adopt}}, fun lasting/1)},
     {waits_for_a_handler, party(#{handler => {'__main__', never}}, fun handed_over/1)},
     {asyncio_server, party(#{handler => {'__main__', serve}}, fun clients/1)},
     {reactor_server, party(#{handler => {'__main__', accept}}, fun clients/1)}].

%% The context is linked to who starts it; it is the error that counts here.
party(Options, Fun) ->
    fun() ->
            process_flag(trap_exit, true),
            All = Options#{setup_code => code(), handoff_timeout => infinity},
            case py_reactor_context:start_link(parties, auto, All) of
                {ok, Context} -> Fun(Context);
                {error, _} = Error -> Error
            end
    end.

short(Context) ->
    until_error(fun() -> one_connection(Context, fun echoed/1) end).

%% Until the socket says that it is over.
lasting(Context) ->
    one_connection(Context, fun(Socket) -> until_error(fun() -> echoed(Socket) end) end).

handed_over(Context) ->
    one_connection(Context, fun(_) -> {error, {taken, by_nobody}} end).

one_connection(Context, Fun) ->
    case pair() of
        {ok, Ours, Fd} -> handed_over(py_reactor_context:handoff(Context, Fd), Ours, Fd, Fun);
        {error, _} = Error -> Error
    end.

handed_over(ok, Ours, _, Fun) ->
    closing(Ours, Fun);
handed_over({error, _} = Error, Ours, Fd, _) ->
    ok = py:close_fd(Fd), % even if the application has been stopped
    closing(Ours, fun(_) -> Error end).

closing(Socket, Fun) ->
    Result = Fun(Socket),
    ok = gen_tcp:close(Socket),
    Result.

%% Our end of a connection, and a copy of the other's descriptor.
pair() ->
    {ok, Listener} = listener(),
    {ok, Ours} = connect(Listener),
    {ok, Theirs} = gen_tcp:accept(Listener, ?WAIT),
    ok = gen_tcp:close(Listener),
    case copy(Theirs) of
        {ok, Fd} -> {ok, Ours, Fd};
        {error, _} = Error -> closing(Ours, fun(_) -> Error end)
    end.

listener() ->
    gen_tcp:listen(0, [binary, {active, false}, {ip, ?LOOPBACK}]).

connect(Listener) ->
    {ok, Port} = inet:port(Listener),
    gen_tcp:connect(?LOOPBACK, Port, [binary, {active, false}], ?WAIT).

copy(Socket) ->
    {ok, Number} = inet:getfd(Socket),
    Copied = py:dup_fd(Number),
    ok = gen_tcp:close(Socket),
    Copied.

echoed(Socket) ->
    Data = rand:bytes(100),
    case gen_tcp:send(Socket, Data) of
        ok -> heard(gen_tcp:recv(Socket, byte_size(Data), ?WAIT), Data);
        Error -> heard(Error, Data)
    end.

heard({ok, Data}, Data) -> ok;
heard({error, Why}, _) when ?IS_END(Why) -> {error, closed};
heard(Other, Data) -> {error, {not_echoed, Data, Other}}.

%% Python accepts them.
clients(Context) ->
    {ok, Listener} = listener(),
    {ok, Port} = inet:port(Listener),
    case copy(Listener) of
        {ok, Fd} -> clients(py_reactor_context:handoff(Context, Fd), Port, Fd);
        {error, _} = Error -> Error
    end.

clients(ok, Port, _) ->
    until_error(fun() -> client(Port) end);
clients({error, _} = Error, _, Fd) ->
    ok = py:close_fd(Fd),
    Error.

client(Port) ->
    case gen_tcp:connect(?LOOPBACK, Port, [binary, {active, false}], ?WAIT) of
        {ok, Socket} -> closing(Socket, fun echoed/1);
        {error, Why} when ?IS_END(Why) -> {error, closed};
        {error, _} = Error -> Error
    end.

until_error(Fun) ->
    py_parties:until_error(Fun).
