%% SPDX-License-Identifier: Apache-2.0
%% @doc Channels and buffers between Erlang and Python.
-module(py_channel_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [in_erlang, options, closing, busy, goes_with_its_owner, waiting_in_order, times_out,
     bad_timeouts,
     to_python, from_python, python_errors, python_makes_one, iteration, async_iteration,
     a_cancelled_receive_loses_nothing, many_coroutines, threads, context_managers,
     time_limit_of_the_request, interrupted, caller_dies, helper_dies, context_stops,
     abandoned_threads, bytes, buffers, buffers_wait, buffers_busy, ping_pong, long_queue,
     a_full_mailbox, no_leaks].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{restart => #{free => 1000}}),
    ok = py:exec(C, "import asyncio, erlang, threading, time"),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    ok = py_context:stop(proplists:get_value(context, Config)),
    ?assertEqual([], py_ct:mailbox()),
    py_ct:eventually(fun() -> supervisor:which_children(py_channel_sup) =:= [] end).

context(Config) ->
    proplists:get_value(context, Config).

new() -> new(#{}).
new(Options) ->
    {ok, Ch} = py_channel:new(Options),
    Ch.

%% With `ch' as the channel.
eval(C, Ch, Code) ->
    py:eval(C, ["(lambda ch: ", Code, ")(erlang.Channel(t))"], #{t => Ch}).

get_message() ->
    receive M -> M after 20000 -> ct:fail(no_message) end.

%% The channel as it is inside.
state({_, Pid, _}) ->
    sys:get_state(Pid).

waiting(Ch) ->
    queue:len(element(8, state(Ch))).

await_waiting(Ch, N) ->
    py_ct:eventually(fun() -> waiting(Ch) =:= N end).

%% Run it in a process of its own, whose result comes as a message.
async(Fun) ->
    Self = self(),
    spawn_link(fun() -> Self ! {result, Fun()} end).

result() ->
    receive {result, R} -> R after 20000 -> ct:fail(no_result) end.

in_erlang(_) ->
    Ch = new(),
    ?assertEqual(#{size => 0, max_size => infinity, closed => false}, py_channel:info(Ch)),
    ?assertEqual({error, empty}, py_channel:try_receive(Ch)),
    [ok = py_channel:send(Ch, I) || I <- [1, {2}, three]],
    #{size := Size} = py_channel:info(Ch),
    ?assertEqual(lists:sum([erlang:external_size(T) || T <- [1, {2}, three]]), Size),
    ?assertEqual({ok, 1}, py_channel:recv(Ch)),
    ?assertEqual({ok, {2}}, py_channel:'receive'(Ch, 100)),
    ?assertEqual({ok, three}, py_channel:try_receive(Ch)),
    async(fun() -> py_channel:'receive'(Ch) end),
    await_waiting(Ch, 1),
    ok = py_channel:send(Ch, woken),
    ?assertEqual({ok, woken}, result()),
    ?assertError({invalid, channel, x}, py_channel:send(x, 1)),
    ok = py_channel:close(Ch).

options(_) ->
    [?assertEqual({error, {invalid, K, V}}, py_channel:new(#{K => V}))
     || {K, V} <- [{max_size, 0}, {max_size, -1}, {max_size, x}, {owner, x}, {size, 1}]],
    ?assertEqual({error, {invalid, options, x}}, py_channel:new(x)).

%% What is in it can still be received; who waits is told.
closing(_) ->
    Ch = new(),
    [ok = py_channel:send(Ch, I) || I <- [1, 2]],
    ok = py_channel:close(Ch),
    ok = py_channel:close(Ch),
    ?assertEqual({error, closed}, py_channel:send(Ch, 3)),
    ?assertMatch(#{size := 6, closed := true}, py_channel:info(Ch)),
    ?assertEqual({ok, 1}, py_channel:recv(Ch)),
    ?assertEqual({ok, 2}, py_channel:try_receive(Ch)),
    [?assertEqual({error, closed}, R)
     || R <- [py_channel:recv(Ch), py_channel:recv(Ch, 0), py_channel:try_receive(Ch),
              py_channel:send(Ch, 1)]],
    ?assertEqual(#{size => 0, max_size => infinity, closed => true}, py_channel:info(Ch)),
    Other = new(),
    async(fun() -> py_channel:recv(Other) end),
    async(fun() -> py_channel:recv(Other, 60000) end),
    await_waiting(Other, 2),
    ok = py_channel:close(Other),
    ?assertEqual([{error, closed}, {error, closed}], [result(), result()]).

busy(_) ->
    Ch = new(#{max_size => 20}),
    Big = lists:seq(1, 100),
    ok = py_channel:send(Ch, Big),
    ?assertEqual(busy, py_channel:send(Ch, 1)),
    {ok, Big} = py_channel:recv(Ch),
    Sent = [I || I <- lists:seq(1, 10), py_channel:send(Ch, I) =:= ok],
    ?assertEqual([1, 2, 3, 4, 5, 6], Sent),
    {ok, 1} = py_channel:recv(Ch),
    ok = py_channel:send(Ch, 7),
    #{size := 18, max_size := 20} = py_channel:info(Ch),
    ok = py_channel:close(Ch),
    [{ok, I} = py_channel:recv(Ch) || I <- lists:seq(2, 7)].

goes_with_its_owner(Config) ->
    Self = self(),
    {Owner, Mon} = spawn_monitor(fun() -> Self ! new(), receive stop -> ok end end),
    Ch = get_message(),
    ok = py_channel:send(Ch, 1),
    {ok, 1} = py_channel:recv(Ch),
    C = context(Config),
    async(fun() -> py_channel:recv(Ch) end),
    async(fun() -> eval(C, Ch, "ch.receive()") end),
    await_waiting(Ch, 2),
    Owner ! stop,
    receive {'DOWN', Mon, process, _, normal} -> ok end,
    ?assertMatch([{error, closed}, {error, {"ChannelClosed", _}}],
                 lists:sort([result(), result()])),
    ?assertEqual({error, closed}, py_channel:send(Ch, 1)).

%% First come, first served; one who died or gave up is passed over.
waiting_in_order(_) ->
    Ch = new(),
    Self = self(),
    Start = fun(I, T) ->
                    P = spawn(fun() -> Self ! {I, py_channel:recv(Ch, T)} end),
                    await_waiting(Ch, I),
                    P
            end,
    [_, Dead, _, _] = [Start(I, 60000) || I <- [1, 2, 3, 4]],
    exit(Dead, kill),
    await_waiting(Ch, 3),
    [ok = py_channel:send(Ch, V) || V <- [a, b, c]],
    ?assertEqual([{1, {ok, a}}, {3, {ok, b}}, {4, {ok, c}}],
                 [receive {I, R} -> {I, R} end || I <- [1, 3, 4]]),
    ?assertEqual(0, map_size(element(9, state(Ch)))),
    ok = py_channel:close(Ch).

times_out(_) ->
    Ch = new(),
    [?assertEqual({error, timeout}, py_channel:recv(Ch, T)) || T <- [0, 1, 50]],
    0 = waiting(Ch),
    ok = py_channel:send(Ch, 1),
    ?assertEqual({ok, 1}, py_channel:recv(Ch, 0)),
    %% While senders and receivers that give up meet, nothing is lost.
    async(fun() ->
                  [ok = py_channel:send(Ch, I) || I <- lists:seq(1, 3000)],
                  py_channel:close(Ch)
          end),
    ?assertEqual(lists:seq(1, 3000), until_closed(Ch)),
    ok = result().

%% Nobody waits then, so nothing that is sent is lost.
bad_timeouts(_) ->
    {ok, Bytes} = py_byte_channel:new(),
    Ch = new(),
    [begin
         Bad = {error, {invalid, timeout, T}},
         ?assertEqual(Bad, py_channel:recv(Ch, T)),
         ?assertEqual(Bad, py_channel:'receive'(Ch, T)),
         ?assertEqual(Bad, py_byte_channel:recv(Bytes, T))
     end || T <- [-1, x, 1.5, 1 bsl 32]],
    ok = py_channel:send(Ch, 1),
    ?assertEqual({ok, 1}, py_channel:try_receive(Ch)),
    ok = py_byte_channel:close(Bytes),
    ok = py_channel:close(Ch).

until_closed(Ch) ->
    case py_channel:recv(Ch, 0) of
        {ok, V} -> [V | until_closed(Ch)];
        {error, timeout} -> until_closed(Ch);
        {error, closed} -> []
    end.

to_python(Config) ->
    C = context(Config),
    Ch = new(),
    ok = py_channel:send(Ch, {1, [<<"a">>]}),
    ?assertEqual({ok, {1, [<<"a">>]}}, eval(C, Ch, "ch.receive()")),
    ?assertEqual({ok, none}, eval(C, Ch, "ch.try_receive()")),
    ?assertMatch({error, {"TimeoutError", _}}, eval(C, Ch, "ch.receive(0.05)")),
    ?assertMatch({error, {"TimeoutError", _}}, eval(C, Ch, "ch.receive(timeout=0)")),
    async(fun() -> eval(C, Ch, "ch.receive()") end),
    await_waiting(Ch, 1),
    ok = py_channel:send(Ch, woken),
    ?assertEqual({ok, woken}, result()),
    ok = py_channel:send(Ch, 5),
    ?assertEqual({ok, 5}, eval(C, Ch, "ch.try_receive()")),
    ok = py_channel:close(Ch).

from_python(Config) ->
    C = context(Config),
    Ch = new(#{max_size => 10}),
    {ok, none} = eval(C, Ch, "ch.send((1, 'x'))"),
    ?assertEqual({ok, {1, <<"x">>}}, py_channel:recv(Ch)),
    async(fun() -> py_channel:recv(Ch) end),
    await_waiting(Ch, 1),
    {ok, none} = eval(C, Ch, "ch.send(2)"),
    ?assertEqual({ok, 2}, result()),
    {ok, none} = eval(C, Ch, "ch.send('a long text')"),
    ?assertMatch({error, {"ChannelBusy", _}}, eval(C, Ch, "ch.send(1)")),
    ?assertEqual({ok, #{<<"size">> => 17, <<"max_size">> => 10, <<"closed">> => false}},
                 eval(C, Ch, "ch.info()")),
    {ok, none} = eval(C, Ch, "ch.close()"),
    ?assertMatch({error, {"ChannelClosed", _}}, eval(C, Ch, "ch.send(1)")),
    ?assertEqual({ok, <<"a long text">>}, eval(C, Ch, "ch.receive()")),
    ?assertMatch({error, {"ChannelClosed", _}}, eval(C, Ch, "ch.receive()")),
    ?assertMatch({error, {"ChannelClosed", _}}, eval(C, Ch, "ch.try_receive()")),
    ?assertMatch({ok, #{<<"closed">> := true}}, eval(C, Ch, "ch.info()")).

python_errors(Config) ->
    C = context(Config),
    [?assertMatch({error, {"TypeError", _}}, py:eval(C, ["erlang.", What]))
     || What <- ["Channel(5)", "Channel(('py_channel', 1))", "ByteChannel('x')", "PyBuffer(5)"]],
    ?assertMatch({error, {"ErlangError", _}},
                 py:eval(C, "erlang.Channel((erlang.atom('py_channel'), 1, 2)).receive()")),
    ?assertMatch({error, {"ValueError", _}}, py:eval(C, "erlang.Channel(max_size=0)")),
    Ch = new(),
    ?assertMatch({error, {"ValueError", _}}, eval(C, Ch, "ch.receive(-1)")),
    ?assertMatch({error, {"EncodeError", _}}, eval(C, Ch, "ch.send(object())")),
    {ok, B} = py_byte_channel:new(),
    ?assertMatch({error, {"TypeError", _}}, eval(C, B, "ch")),
    ?assertMatch({error, {"TypeError", _}},
                 py:eval(C, "erlang.ByteChannel(t).send('text')", #{t => B})),
    [ok = close_any(X) || X <- [Ch, B]].

close_any({_, Pid, _}) -> py_channel_server:close(Pid).

%% It belongs to the caller; a thread's to the context.
python_makes_one(Config) ->
    C = context(Config),
    {ok, Ch} = py:eval(C, "erlang.Channel(max_size=100).term"),
    ok = py_channel:send(Ch, 1),
    #{max_size := 100} = py_channel:info(Ch),
    [{ok, Theirs}] = py_ct:parallel(1, fun(_) -> py:eval(C, "erlang.Channel().term") end),
    py_ct:eventually(fun() -> py_channel:send(Theirs, 1) =:= {error, closed} end),
    ok = py:exec(C, "def make(): global made; made = erlang.ByteChannel()\n"
                    "t = threading.Thread(target=make); t.start(); t.join()\n"),
    {ok, Of} = py:eval(C, "made.term"),
    ok = py_byte_channel:send(Of, <<"x">>),
    ok = py_channel:close(Ch),
    {ok, 1} = py_channel:recv(Ch),
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> py_byte_channel:send(Of, <<"x">>) =:= {error, closed} end).

iteration(Config) ->
    C = context(Config),
    Ch = new(),
    async(fun() -> eval(C, Ch, "[2 * x for x in ch]") end),
    [ok = py_channel:send(Ch, I) || I <- lists:seq(1, 1000)],
    ok = py_channel:close(Ch),
    ?assertEqual({ok, [2 * I || I <- lists:seq(1, 1000)]}, result()).

async_iteration(Config) ->
    C = context(Config),
    Ch = new(),
    ok = py:exec(C, "async def take(t):\n"
                    "    return [x async for x in erlang.Channel(t)]\n"
                    "def run(t): return asyncio.run(take(t))\n"),
    async(fun() -> py:call(C, '__main__', run, [Ch]) end),
    [ok = py_channel:send(Ch, I) || I <- lists:seq(1, 1000)],
    ok = py_channel:close(Ch),
    ?assertEqual({ok, lists:seq(1, 1000)}, result()).

%% Coroutines that give up again and again, while items come.
a_cancelled_receive_loses_nothing(Config) ->
    C = context(Config),
    Ch = new(),
    ok = py:exec(C, "async def take(t):\n"
                    "    ch = erlang.Channel(t)\n"
                    "    got = []\n"
                    "    while True:\n"
                    "        try:\n"
                    "            got.append(await asyncio.wait_for(ch.async_receive(), 0.0005))\n"
                    "        except asyncio.TimeoutError: pass\n"
                    "        except erlang.ChannelClosed: return got\n"
                    "def run(t): return asyncio.run(take(t))\n"),
    N = 400,
    async(fun() -> py:call(C, '__main__', run, [Ch]) end),
    [begin
         ok = py_channel:send(Ch, I),
         I rem 4 =:= 0 andalso timer:sleep(1)
     end || I <- lists:seq(1, N)],
    py_ct:eventually(fun() -> maps:get(size, py_channel:info(Ch)) =:= 0 end),
    timer:sleep(200),
    ok = py_channel:close(Ch),
    {ok, Got} = result(),
    %% One that was put back may come behind its successors.
    ?assertEqual(lists:seq(1, N), lists:sort(Got)).

many_coroutines(Config) ->
    C = context(Config),
    Ch = new(),
    ok = py:exec(C, "async def take(t, n):\n"
                    "    ch = erlang.Channel(t)\n"
                    "    return await asyncio.gather(*[ch.async_receive() for _ in range(n)])\n"
                    "def run(t, n): return asyncio.run(take(t, n))\n"),
    async(fun() -> py:call(C, '__main__', run, [Ch, 50]) end),
    await_waiting(Ch, 50),
    [ok = py_channel:send(Ch, I) || I <- lists:seq(1, 50)],
    {ok, Got} = result(),
    ?assertEqual(lists:seq(1, 50), lists:sort(Got)),
    ok = py_channel:close(Ch).

%% Threads receive while the main thread does something else.
threads(Config) ->
    C = context(Config),
    In = new(),
    Out = new(),
    ok = py:exec(C, "def work(i, o):\n"
                    "    out = erlang.Channel(o)\n"
                    "    for x in erlang.Channel(i): out.send(x * x)\n"
                    "def start(i, o, n):\n"
                    "    global ts\n"
                    "    ts = [threading.Thread(target=work, args=(i, o)) for _ in range(n)]\n"
                    "    [t.start() for t in ts]\n"),
    {ok, none} = py:call(C, '__main__', start, [In, Out, 8]),
    [ok = py_channel:send(In, I) || I <- lists:seq(1, 500)],
    Got = [element(2, py_channel:recv(Out, 20000)) || _ <- lists:seq(1, 500)],
    ?assertEqual([I * I || I <- lists:seq(1, 500)], lists:sort(Got)),
    ok = py_channel:close(In),
    {ok, _} = py:eval(C, "[t.join() for t in ts]"),
    ok = py_channel:close(Out).

context_managers(Config) ->
    C = context(Config),
    Ch = new(),
    ok = py:exec(C, "def use(t):\n"
                    "    with erlang.Channel(t) as ch: ch.send(1)\n"
                    "    return ch == erlang.Channel(t), len({ch, erlang.Channel(t)})\n"
                    "async def ause(t):\n"
                    "    async with erlang.ByteChannel(t) as ch: ch.send(b'x')\n"
                    "def arun(t): asyncio.run(ause(t))\n"),
    ?assertEqual({ok, {true, 1}}, py:call(C, '__main__', use, [Ch])),
    ?assertEqual({ok, 1}, py_channel:recv(Ch)),
    ?assertEqual({error, closed}, py_channel:recv(Ch)),
    {ok, B} = py_byte_channel:new(),
    {ok, none} = py:call(C, '__main__', arun, [B]),
    ?assertEqual({ok, <<"x">>}, py_byte_channel:recv(B)),
    ?assertEqual({error, closed}, py_byte_channel:recv(B)).

%% When its time is up the call ends like any other, and nothing is taken.
time_limit_of_the_request(Config) ->
    C = context(Config),
    Ch = new(),
    ok = py:exec(C, "def get(t, limit=None): return erlang.Channel(t).receive(limit)"),
    [?assertEqual({error, timeout}, py_context:call(C, '__main__', get, Args, #{}, 100))
     || Args <- [[Ch], [Ch, 60]]],
    0 = waiting(Ch),
    ok = py_channel:send(Ch, 1),
    ?assertEqual({ok, 1}, py:call(C, '__main__', get, [Ch])),
    ok = py_channel:close(Ch).

%% An interrupt ends the wait on both sides.
interrupted(Config) ->
    C = context(Config),
    Ch = new(),
    async(fun() -> eval(C, Ch, "ch.receive()") end),
    await_waiting(Ch, 1),
    ok = py:interrupt(C),
    ?assertMatch({error, {"KeyboardInterrupt", _}}, result()),
    await_waiting(Ch, 0),
    ok = py_channel:send(Ch, kept),
    ?assertEqual({ok, kept}, eval(C, Ch, "ch.receive()")),
    ok = py_channel:close(Ch).

caller_dies(Config) ->
    C = context(Config),
    Ch = new(),
    {Pid, Mon} = spawn_monitor(fun() -> eval(C, Ch, "ch.receive()") end),
    await_waiting(Ch, 1),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, killed} -> ok end,
    await_waiting(Ch, 0),
    ok = py_channel:send(Ch, kept),
    ?assertEqual({ok, kept}, eval(C, Ch, "ch.receive()")),
    ok = py_channel:close(Ch).

%% Its main thread waits, and so does another: both are released.
helper_dies(Config) ->
    C = context(Config),
    Ch = new(),
    ok = py:exec(C, "def wait(t):\n"
                    "    threading.Thread(target=lambda: erlang.Channel(t).receive()).start()\n"
                    "    erlang.Channel(t).receive()\n"),
    async(fun() -> py:call(C, '__main__', wait, [Ch]) end),
    await_waiting(Ch, 2),
    ok = py_port:kill(element(2, py_registry:find(C))),
    ?assertMatch({error, {crashed, _}}, result()),
    await_waiting(Ch, 0),
    ok = py_channel:send(Ch, kept),
    ok = py:exec(C, "import erlang"),
    ?assertEqual({ok, kept}, eval(C, Ch, "ch.receive()")),
    ok = py_channel:close(Ch).

context_stops(_) ->
    [begin
         {ok, C} = py_context:new(#{}),
         ok = py:exec(C, "import erlang"),
         Ch = new(),
         async(fun() -> eval(C, Ch, "ch.receive()") end),
         await_waiting(Ch, 1),
         Stop(C),
         ?assertMatch({error, _}, result()),
         await_waiting(Ch, 0),
         ok = py_channel:close(Ch)
     end || Stop <- [fun py_context:stop/1, fun(C) -> unlink(C), exit(C, kill) end]].

%% A thread waits for ever, and its context is stopped.
abandoned_threads(_) ->
    {ok, C} = py_context:new(#{}),
    Ch = new(),
    ok = py:exec(C, "import erlang, threading\n"
                    "def start(t):\n"
                    "    for _ in range(5):\n"
                    "        threading.Thread(target=lambda: erlang.Channel(t).receive(),\n"
                    "                         daemon=True).start()\n"),
    {ok, none} = py:call(C, '__main__', start, [Ch]),
    await_waiting(Ch, 5),
    ok = py_context:stop(C),
    await_waiting(Ch, 0),
    ok = py_channel:close(Ch).

bytes(Config) ->
    C = context(Config),
    {ok, Ch} = py_byte_channel:new(#{max_size => 100}),
    Eval = fun(Code) ->
                   py:eval(C, ["(lambda ch: ", Code, ")(erlang.ByteChannel(t))"], #{t => Ch})
           end,
    ok = py_byte_channel:send(Ch, ["text", <<" and more">>]),
    ?assertEqual({ok, {true, <<"text and more">>}},
                 Eval("(lambda b: (type(b) is bytes, b))(ch.receive())")),
    [{ok, none} = Eval(["ch.send(", B, ")"])
     || B <- ["b'one'", "bytearray(b'\\xfftwo')", "memoryview(b'three')", "b''"]],
    ?assertEqual({ok, <<"one">>}, py_byte_channel:recv(Ch)),
    ?assertEqual({ok, <<255, "two">>}, py_byte_channel:'receive'(Ch)),
    ?assertEqual({ok, <<"three">>}, py_byte_channel:try_receive(Ch)),
    ?assertEqual({ok, <<>>}, py_byte_channel:'receive'(Ch, 10)),
    ?assertEqual({error, empty}, py_byte_channel:try_receive(Ch)),
    ?assertEqual({error, timeout}, py_byte_channel:recv(Ch, 10)),
    ok = py_byte_channel:send(Ch, binary:copy(<<"x">>, 60)),
    ?assertEqual(busy, py_byte_channel:send(Ch, binary:copy(<<"x">>, 60))),
    ?assertMatch({error, {"ChannelBusy", _}}, Eval("ch.send(b'x' * 60)")),
    ?assertEqual(#{size => 60, max_size => 100, closed => false}, py_byte_channel:info(Ch)),
    ok = py_byte_channel:close(Ch),
    ?assertEqual({ok, [60]}, Eval("[len(b) for b in ch]")),
    ?assertMatch({error, {"ByteChannelClosed", _}}, Eval("ch.receive()")),
    ?assertMatch({error, {"ByteChannelClosed", _}}, Eval("ch.send(b'')")),
    ?assertEqual({error, closed}, py_byte_channel:recv(Ch)).

buffers(Config) ->
    C = context(Config),
    Read = fun(Data, Code) ->
                   {ok, B} = py_buffer:new(),
                   [ok = py_buffer:write(B, D) || D <- Data],
                   ok = py_buffer:close(B),
                   ?assertEqual({error, closed}, py_buffer:write(B, <<"x">>)),
                   ?assertEqual({error, closed}, py_buffer:write(B, <<>>)),
                   {ok, V} = py:eval(C, ["(lambda f: ", Code, ")(erlang.PyBuffer(t))"], #{t => B}),
                   V
           end,
    Text = ["one\ntw", <<>>, <<"o\n\nfo">>, "ur"],
    ?assertEqual([<<"one\n">>, <<"two\n">>, <<"\n">>, <<"four">>], Read(Text, "list(f)")),
    ?assertEqual([<<"one\n">>, <<"two\n">>, <<"\n">>, <<"four">>], Read(Text, "f.readlines()")),
    ?assertEqual(<<"one\ntwo\n\nfour">>, Read(Text, "f.read()")),
    ?assertEqual([<<"on">>, <<"e\ntwo">>, <<"\n\nfour">>, <<>>],
                 Read(Text, "[f.read(2), f.read(5), f.read(100), f.read(1)]")),
    ?assertEqual([<<"one\n">>, <<"tw">>], Read(Text, "[f.readline(), f.readline(2)]")),
    ?assertEqual([true, false, false], Read([], "[f.readable(), f.writable(), f.seekable()]")),
    ?assertEqual(<<>>, Read([], "f.read()")),
    Big = binary:copy(<<"0123456789">>, 100000),
    ?assertEqual(1000000, Read([Big], "len(f.read())")),
    ?assertEqual(<<"one\ntwo\n\nfour">>,
                 Read(Text, "__import__('io').TextIOWrapper(f).read().encode()")),
    [begin
         {ok, B} = py_buffer:new(Length),
         ok = py_buffer:close(B)
     end || Length <- [0, 4096, undefined]],
    ?assertEqual({error, {invalid, options, x}}, py_buffer:new(x)).

buffers_wait(Config) ->
    C = context(Config),
    {ok, B} = py_buffer:new(),
    ok = py:exec(C, "def get(t):\n"
                    "    f = erlang.PyBuffer(t)\n"
                    "    return [f.readline(), f.read(3), f.read()]\n"),
    async(fun() -> py:call(C, '__main__', get, [B]) end),
    await_waiting(B, 1),
    [begin ok = py_buffer:write(B, D), timer:sleep(20) end || D <- ["li", "", "ne\nab", "cd", "e"]],
    ok = py_buffer:close(B),
    ?assertEqual({ok, [<<"line\n">>, <<"abc">>, <<"de">>]}, result()),
    {ok, Other} = py_buffer:new(),
    ?assertEqual({error, timeout}, py_context:call(C, '__main__', get, [Other], #{}, 100)),
    ok = py_buffer:close(Other).

buffers_busy(Config) ->
    C = context(Config),
    {ok, B} = py_buffer:new(#{max_size => 10}),
    ok = py_buffer:write(B, <<"12345678">>),
    ?assertEqual(busy, py_buffer:write(B, <<"90a">>)),
    {ok, <<"12345">>} = py:eval(C, "erlang.PyBuffer(t, 5).read(5)", #{t => B}),
    ok = py_buffer:write(B, <<"90a">>),
    ok = py_buffer:close(B),
    {ok, <<"67890a">>} = py:eval(C, "erlang.PyBuffer(t).read()", #{t => B}).

ping_pong(Config) ->
    C = context(Config),
    [A, B] = [new(), new()],
    ok = py:exec(C, "def pong(a, b):\n"
                    "    b = erlang.Channel(b)\n"
                    "    for x in erlang.Channel(a): b.send(x + 1)\n"),
    async(fun() -> py:call(C, '__main__', pong, [A, B]) end),
    [begin
         ok = py_channel:send(A, I),
         {ok, J} = py_channel:recv(B),
         ?assertEqual(I + 1, J)
     end || I <- lists:seq(1, 2000)],
    ok = py_channel:close(A),
    ?assertEqual({ok, none}, result()),
    ok = py_channel:close(B).

%% Many items in it, and many who wait, are none of each other's business.
long_queue(_) ->
    Ch = new(),
    [ok = py_channel:send(Ch, I) || I <- lists:seq(1, 20000)],
    [{ok, I} = py_channel:recv(Ch) || I <- lists:seq(1, 20000)],
    ok = py_channel:close(Ch).

%% What a process has in its mailbox is left alone.
a_full_mailbox(Config) ->
    C = context(Config),
    Ch = new(),
    Self = self(),
    [Self ! {kept, I} || I <- lists:seq(1, 1000)],
    ok = py_channel:send(Ch, 1),
    {ok, 1} = eval(C, Ch, "ch.receive()"),
    {error, {"TimeoutError", _}} = eval(C, Ch, "ch.receive(0.01)"),
    {error, timeout} = py_channel:recv(Ch, 1),
    ok = py_channel:close(Ch),
    {error, closed} = py_channel:recv(Ch),
    ?assertEqual([{kept, I} || I <- lists:seq(1, 1000)], py_ct:mailbox()),
    [receive {kept, I} -> ok end || I <- lists:seq(1, 1000)].

no_leaks(Config) ->
    C = context(Config),
    ok = py:exec(C, "def use(t):\n"
                    "    ch = erlang.Channel(t)\n"
                    "    ch.receive()\n"
                    "    mine = erlang.Channel()\n"
                    "    mine.send(1); mine.close(); mine.receive()\n"),
    Once = fun() ->
                   Ch = new(),
                   ok = py_channel:send(Ch, x),
                   {ok, none} = py:call(C, '__main__', use, [Ch]),
                   ok = py_channel:close(Ch)
           end,
    Once(),
    Before = {erlang:system_info(process_count), erlang:system_info(atom_count),
              ets:info(py_helpers, size)},
    [Once() || _ <- lists:seq(1, 500)],
    py_ct:eventually(fun() ->
                             {P, A, H} = Before,
                             erlang:system_info(process_count) =< P andalso
                                 erlang:system_info(atom_count) =:= A andalso
                                 ets:info(py_helpers, size) =:= H
                     end).
