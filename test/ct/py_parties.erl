%% SPDX-License-Identifier: Apache-2.0
%% @doc Processes that use all that the application offers, each until something is
%% an error, with which it ends: `{told, Reason}'.
-module(py_parties).

-export([prepare/1, contexts/0, all/0, of_pools/0, stop_pools/0, is_clear/1]).
%% For other parties (py_net_parties).
-export([until_error/1]).

%% Where requests end soon, and where one stands in the way of the next.
-define(BUSY, py_parties_busy).
-define(STUCK, py_parties_stuck).
%% How many there are of each party.
-define(EACH, 2).

%% Once the application runs; Python's part is written to this directory.
prepare(Dir) ->
    ok = file:write_file(filename:join(Dir, "parties_of_ct.py"), program()),
    Options = #{paths => [Dir], imports => [parties_of_ct]},
    {ok, _} = py_context_router:start_pool(?BUSY, 2, Options#{max_calls => 1000}),
    {ok, _} = py_context_router:start_pool(?STUCK, 2, Options),
    ok = py:register_function(echo, fun([X]) -> X end),
    py:register_function(nap, fun([Ms]) -> timer:sleep(Ms), Ms end).

contexts() ->
    py_context_router:contexts(?BUSY) ++ py_context_router:contexts(?STUCK).

stop_pools() ->
    ok = py_context_router:stop_pool(?BUSY),
    ok = py_context_router:stop_pool(?STUCK).

program() ->
    "import asyncio, erlang, threading, time\n" ++ makers_code() ++ channels_code()
        ++ others_code() ++ py_net_parties:code().

makers_code() ->
    "def endless():\n"
    "    while True: yield b'x' * 1000\n"
    "def slow():\n"
    "    while True: time.sleep(0.001); yield 1\n"
    "async def aslow():\n"
    "    while True: await asyncio.sleep(0.001); yield 1\n"
    "def share(view):\n"
    "    return erlang.SharedMemory(view)\n".

channels_code() ->
    "def hear(term):\n"
    "    return erlang.Channel(term).receive()\n"
    "async def ahear(term):\n"
    "    return await erlang.Channel(term).async_receive()\n"
    "def hear_all(term):\n"
    "    for item in erlang.Channel(term): pass\n"
    "def hear_bytes(term):\n"
    "    return erlang.ByteChannel(term).receive()\n"
    "def speak(term):\n"
    "    while True:\n"
    "        try: erlang.Channel(term).send(1)\n"
    "        except erlang.ChannelBusy: time.sleep(0.001)\n"
    "def read(term):\n"
    "    for line in erlang.PyBuffer(term): pass\n".

others_code() ->
    "def watch(pid):\n"
    "    return erlang.monitor(pid).wait()\n"
    "async def awatch(pid):\n"
    "    return await erlang.monitor(pid).wait_async()\n"
    "def tell(pid):\n"
    "    while True:\n"
    "        erlang.send(pid, ('hello', 1))\n"
    "        time.sleep(0.001)\n"
    "def slot():\n"
    "    with erlang.Semaphore(): time.sleep(0.001)\n"
    "def note(term):\n"
    "    erlang.SharedDict(term)['a'] = 1\n"
    "def count():\n"
    "    while True: erlang.state_incr('restarts')\n"
    "def call():\n"
    "    while True: erlang.echo(1)\n"
    "def threads(term, pid):\n"
    "    for work in (lambda: hear(term), lambda: speak(term), lambda: watch(pid),\n"
    "                 count, call, lambda: erlang.nap(3600000)):\n"
    "        threading.Thread(target=work, daemon=True).start()\n".

%% The parties, in any order: `[{Name, {Pid, Monitor}}]'.
all() ->
    begun(pools() ++ application() ++ py_net_parties:of_application()).

%% Those who use nothing but the two pools.
of_pools() ->
    begun(pools()).

begun(Parties) ->
    All = lists:append(lists:duplicate(?EACH, Parties)),
    Mixed = [Party || {_, Party} <- lists:sort([{rand:uniform(), P} || P <- All])],
    Here = self(),
    Begun = [{Name, spawn_monitor(fun() ->
                                          {error, Why} = Fun(),
                                          exit({told, Why})
                                  end)} || {Name, Fun} <- Mixed],
    {_, Mon} = spawn_monitor(fun() -> threads(Here) end),
    receive
        {'DOWN', Mon, process, _, normal} -> Begun
    end.

%% Python's own threads wait and work, on behalf of nobody.
threads(Here) ->
    {ok, Channel} = py_channel:new(#{owner => Here}),
    lists:foreach(fun(C) ->
                          py:cast(C, parties_of_ct, threads, [Channel, Here], #{reply => false})
                  end, py_context_router:contexts(?BUSY)),
    ok = py_channel:close(Channel).

is_clear({context_died, _}) -> true;
is_clear({no_pool, _}) -> true;
is_clear({crashed, #{}}) -> true;
is_clear({stale_ref, _}) -> true;
is_clear({runtime_failed, _, _}) -> true;
is_clear({gather_failed, [_ | _] = All}) -> lists:all(fun({_, Why}) -> is_clear(Why) end, All);
is_clear(Why) -> lists:member(Why, [closed, not_started, unavailable]).

%% Call it again and again.
until_error(Fun) ->
    case Fun() of
        {error, _} = Error -> Error;
        _ -> until_error(Fun)
    end.

%%% Those whom the end of the pools concerns

pools() ->
    calls() ++ later() ++ streams() ++ stuck() ++ objects() ++ py_net_parties:of_pool(?BUSY).

busy(Module, Function, Args) ->
    py:call(?BUSY, Module, Function, Args, #{timeout => infinity}).

stuck(Function, Args) ->
    py:call(?STUCK, parties_of_ct, Function, Args, #{timeout => infinity}).

calls() ->
    [{call, fun() -> until_error(fun() -> busy(math, sqrt, [2]) end) end},
     {eval, fun() -> until_error(fun() -> py:eval(?BUSY, "1 + 1") end) end},
     {exec, fun() -> until_error(fun() -> py:exec(?BUSY, "x = 1") end) end},
     {callback, fun() -> until_error(fun() -> busy(erlang, echo, [1]) end) end},
     {slow_callback, fun() -> until_error(fun() -> busy(erlang, nap, [20]) end) end},
     {large, fun() -> Data = binary:copy(<<7>>, 300000),
                      until_error(fun() -> busy(builtins, len, [Data]) end) end},
     {shares, fun() -> {ok, Shm} = py_shm:new(binary:copy(<<7>>, 100000)),
                       until_error(fun() -> busy(parties_of_ct, share, [Shm]) end) end},
     {captured, fun() -> until_error(fun() -> py:call(?BUSY, builtins, print, [1],
                                                      #{output => capture}) end) end},
     {context_info, fun() -> {ok, C} = py_context_router:get_context(?BUSY),
                             until_error(fun() -> py_context:info(C) end) end},
     {reload, fun() -> until_error(fun() -> py_context_router:reload_pool(?BUSY) end) end}].

later() ->
    [{cast, fun() -> until_error(fun() -> py:await(py:cast(?BUSY, math, sqrt, [2])) end) end},
     {cast_stuck, fun() -> Ref = py:cast(?STUCK, time, sleep, [3600]),
                           py:await(Ref, infinity) end},
     {cast_message, fun() -> Ref = py:cast(?STUCK, time, sleep, [3600], infinity),
                             receive {py_response, Ref, Result} -> Result end end},
     {coroutine, fun() -> until_error(fun() ->
                                  py:async_await(py:async_call(?BUSY, asyncio, sleep, [0.001]))
                                      end) end},
     {long_coroutine, fun() -> py:async_await(py:async_call(?BUSY, asyncio, sleep, [3600],
                                                            infinity), infinity) end},
     {gather, fun() -> py:async_gather(?BUSY, [{asyncio, sleep, [3600]} || _ <- [1, 2, 3]],
                                       infinity) end},
     {task, fun() -> until_error(fun() -> py_event_loop:run(?BUSY, asyncio, sleep, [0.001],
                                                            infinity) end) end}].

streams() ->
    [{stream, fun() -> py:stream(?BUSY, parties_of_ct, slow, [], infinity) end},
     {async_stream, fun() -> py:stream(?BUSY, parties_of_ct, aslow, [], infinity) end},
     {slow_receiver, fun() -> receiver(endless, 5) end},
     {quick_receiver, fun() -> receiver(endless, 0) end},
     {async_receiver, fun() -> receiver(aslow, 0) end}].

receiver(Function, Pause) ->
    case py:stream_start(?BUSY, parties_of_ct, Function, []) of
        {ok, Ref} -> receive_all(Ref, Pause);
        {error, _} = Error -> Error
    end.

receive_all(Ref, Pause) ->
    receive
        {py_stream, Ref, {data, _}} -> timer:sleep(Pause), receive_all(Ref, Pause);
        {py_stream, Ref, End} -> End
    end.

%% One of them stands in the way of all others of its context.
stuck() ->
    [{sleeps, fun() -> py:call(?STUCK, time, sleep, [3600], #{timeout => infinity}) end},
     {hears, fun() -> {ok, Ch} = py_channel:new(), stuck(hear, [Ch]) end},
     {hears_bytes, fun() -> {ok, Ch} = py_byte_channel:new(), stuck(hear_bytes, [Ch]) end},
     {hears_as_coroutine, fun() -> {ok, Ch} = py_channel:new(),
                                   py:async_await(py:async_call(?BUSY, parties_of_ct, ahear, [Ch],
                                                                infinity), infinity) end},
     {writes, fun() -> writes() end},
     {talks, fun() -> talks() end},
     {is_told, fun() -> is_told() end},
     {is_watched, fun() -> stuck(watch, [self()]) end},
     {is_watched_by_coroutine,
      fun() -> py:async_await(py:async_call(?BUSY, parties_of_ct, awatch, [self()], infinity),
                              infinity) end}].

%% Erlang writes, Python reads, as long as Python does.
writes() ->
    {ok, Buffer} = py_buffer:new(#{max_size => 100000}),
    Ref = py:cast(?STUCK, parties_of_ct, read, [Buffer], infinity),
    until_answer(Ref, fun() -> py_buffer:write(Buffer, <<"line\n">>) end).

talks() ->
    {ok, Channel} = py_channel:new(#{max_size => 100000}),
    Ref = py:cast(?STUCK, parties_of_ct, hear_all, [Channel], infinity),
    until_answer(Ref, fun() -> py_channel:send(Channel, hello) end).

is_told() ->
    Ref = py:cast(?STUCK, parties_of_ct, tell, [self()], infinity),
    until_answer(Ref, fun() -> receive {<<"hello">>, 1} -> ok after 10 -> ok end end).

until_answer(Ref, Fun) ->
    receive
        {py_response, Ref, Result} -> Result
    after 0 ->
        _ = Fun(),
        timer:sleep(1),
        until_answer(Ref, Fun)
    end.

%% References that are held.
objects() ->
    [{method, fun() -> held(fun(Ref) -> py:call_method(Ref, append, [1], infinity) end) end},
     {attribute, fun() -> held(fun(Ref) -> py:getattr(Ref, '__doc__') end) end},
     {to_term, fun() -> held(fun(Ref) -> py:to_term(Ref) end) end},
     {dictionary, fun() -> {ok, D} = py:shared_dict_new(),
                           until_error(fun() -> busy(parties_of_ct, note, [D]) end) end},
     {slots_in_python, fun() -> until_error(fun() -> busy(parties_of_ct, slot, []) end) end},
     {new_objects, fun() -> until_error(fun() -> py:call(?STUCK, builtins, list, [],
                                                         #{return => ref}) end) end}].

held(Fun) ->
    case py:call(?BUSY, collections, deque, [], #{return => ref, timeout => infinity}) of
        {ok, Ref} -> until_error(fun() -> Fun(Ref) end);
        {error, _} = Error -> Error
    end.

%%% Those whom only the end of the application concerns

application() ->
    [{waits_for_python, fun() -> {ok, Ch} = py_channel:new(), py_channel:recv(Ch) end},
     {hears_python, fun() -> hears_python() end},
     {waits_for_bytes, fun() -> {ok, Ch} = py_byte_channel:new(), py_byte_channel:recv(Ch) end},
     {counts, fun() -> until_error(fun() -> py:state_incr(restarts) end) end},
     {stores, fun() -> until_error(fun() -> py:state_store({self()}, 1) end) end},
     {slots, fun() -> until_error(fun() -> py_semaphore:with(fun() -> timer:sleep(1) end)
                                  end) end},
     {holds_a_slot, fun() -> case py_semaphore:acquire() of
                                 ok -> until_error(fun() -> py_semaphore:current() end);
                                 Error -> Error
                             end end},
     {parallel, fun() -> until_error(fun() -> py:parallel([{math, sqrt, [2]}, {time, sleep, [0]}])
                                     end) end},
     {default, fun() -> until_error(fun() -> py:call(math, sqrt, [2]) end) end},
     {own_context, fun() -> case py_context:new(#{}) of
                                {ok, C} -> until_error(fun() -> py:eval(C, "1") end);
                                Error -> Error
                            end end}].

hears_python() ->
    {ok, Channel} = py_channel:new(#{max_size => 1000}),
    _ = py:cast(?STUCK, parties_of_ct, speak, [Channel], #{reply => false, timeout => infinity}),
    until_error(fun() -> py_channel:recv(Channel) end).
