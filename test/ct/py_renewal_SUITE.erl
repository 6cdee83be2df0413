%% SPDX-License-Identifier: Apache-2.0
%% @doc Contexts that get a fresh helper while they serve: no call fails, what is
%% under way ends in peace, nothing is left behind.
-module(py_renewal_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 4}}].

all() ->
    [renew, renew_under_load, requests_under_way_end_in_peace, many_wait_for_one,
     a_callback_goes_back_where_it_came_from, references_go_on,
     references_are_garbage, references_for_a_bounded_time, streams_go_on,
     streams_for_a_bounded_time, references_under_way, messages_and_waits, threads_that_wait,
     busy_port,
     timeout_in_a_retired_helper, crash_of_a_retired_helper, caller_of_a_retired_helper_dies,
     output_of_both, messages_of_both, renew_without_a_helper, renew_while_it_crashes,
     failing_renewal, stop_while_both_live, stop_while_the_next_one_starts, renew_nobody,
     recycled_by_calls, recycled_by_age, recycled_by_memory, failing_recycling,
     reload_pool, reload_with_options, failing_reload, reload_own_runtime,
     reloads_at_the_same_time].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{start_contexts, false}]),
    %% What the first of its kind leaves open for all: the zygote's descriptors,
    %% and the ports through which loads are read.
    {ok, [C]} = py_context_router:start_pool(first, 1, #{routing => least_loaded}),
    _ = pid_of(C),
    ok = py_context_router:stop_pool(first),
    [{census, py_ct:census()} | Config].

end_per_testcase(_, Config) ->
    [py_context_router:stop_pool(P) || P <- py_context_router:pools()],
    %% Contexts end with the process of their test.
    [py_context:stop(C) || {_, C, _, _} <- supervisor:which_children(py_context_sup), is_pid(C)],
    py_ct:settled(proplists:get_value(census, Config)),
    ok = py_ct:stop(),
    ?assertEqual([], py_ct:mailbox()).

new() -> new(#{}).
new(Options) ->
    {ok, C} = py_context:new(Options),
    C.

pid_of(Target) ->
    {ok, Pid} = py:call(Target, os, getpid, []),
    Pid.

info(C, Key) ->
    {ok, #{Key := Value}} = py_context:info(C),
    Value.

%% Only the helper that serves is left.
alone(C) ->
    py_ct:eventually(fun() -> info(C, retired) =:= 0 end).

%% A process that makes this request; `answer/1' has what came of it.
ask(C, Code) ->
    Self = self(),
    Before = py_SUITE:pending(C),
    Pid = spawn_link(fun() -> Self ! {self(), py:eval(C, Code)} end),
    py_ct:eventually(fun() -> py_SUITE:pending(C) > Before end),
    Pid.

answer(Pid) ->
    receive {Pid, Answer} -> Answer after 60000 -> ct:fail(no_answer) end.

%% A process that calls until it is told to end: how often, and what was wrong.
caller(Target) ->
    spawn_link(fun() -> call_on(Target, 0, []) end).

call_on(Target, N, Bad) ->
    Wrong = case py:eval(Target, "x + 1", #{x => N}) of
                {ok, R} when R =:= N + 1 -> Bad;
                Other -> [Other | Bad]
            end,
    receive
        {stop, From} -> From ! {self(), {N + 1, Wrong}}
    after 0 -> call_on(Target, N + 1, Wrong)
    end.

stop_callers(Callers) ->
    [C ! {stop, self()} || C <- Callers],
    Ends = [answer(C) || C <- Callers],
    ?assertEqual([], lists:append([Bad || {_, Bad} <- Ends])),
    lists:sum([N || {N, _} <- Ends]).

%%% One context

renew(_) ->
    C = new(),
    Before = pid_of(C),
    ok = py:exec(C, "x = 1"),
    {ok, Id} = py_context:get_interp_id(C),
    ok = py_context:renew(C),
    ?assertNotEqual(Before, pid_of(C)),
    ?assertMatch({error, {"NameError", _}}, py:eval(C, "x")),
    {ok, Other} = py_context:get_interp_id(C),
    ?assertNotEqual(Id, Other),
    alone(C),
    py_ct:eventually(fun() -> not py_ct:alive(Before) end),
    {ok, #{renewals := 1, restarts := 0, crashes := 0, generation := 2, state := ready}} =
        py_context:info(C).

renew_under_load(_) ->
    C = new(),
    Callers = [caller(C) || _ <- lists:seq(1, 6)],
    [ok = py_context:renew(C) || _ <- lists:seq(1, 30)],
    Calls = stop_callers(Callers),
    alone(C),
    #{requests := Requests} = info(C, total),
    ?assertEqual(Calls, Requests),
    ?assertEqual(30, info(C, renewals)).

requests_under_way_end_in_peace(Config) ->
    C = new(),
    File = filename:join(proplists:get_value(priv_dir, Config), "atexit"),
    _ = file:delete(File),
    ok = py:exec(C, ["import atexit, os, time\natexit.register(lambda: open('", File,
                     "', 'w').write('end'))\n"
                     "def wait(go):\n    while not os.path.exists(go): time.sleep(0.01)\n"
                     "    return 'done'"]),
    Old = pid_of(C),
    Go = File ++ ".go",
    _ = file:delete(Go),
    Running = ask(C, ["wait('", Go, "')"]),
    Queued = [ask(C, integer_to_list(N)) || N <- lists:seq(1, 50)],
    ok = py_context:renew(C),
    ?assertNotEqual(Old, pid_of(C)),
    ?assertEqual(1, info(C, retired)),
    ?assertMatch({error, {"NameError", _}}, py:eval(C, "wait")),
    ?assert(py_ct:alive(Old)),
    ok = file:write_file(Go, <<>>),
    ?assertEqual({ok, <<"done">>}, answer(Running)),
    ?assertEqual([{ok, N} || N <- lists:seq(1, 50)], [answer(P) || P <- Queued]),
    alone(C),
    py_ct:eventually(fun() -> not py_ct:alive(Old) end),
    ?assertEqual({ok, <<"end">>}, file:read_file(File)).

many_wait_for_one(_) ->
    C = new(),
    Results = py_ct:parallel(10, fun(_) -> py_context:renew(C) end),
    ?assertEqual([ok], lists:usort(Results)),
    ?assert(info(C, renewals) =< 10),
    alone(C).

%% Python that waits for Erlang is in the former helper; what Erlang asks of the
%% context meanwhile belongs there.
a_callback_goes_back_where_it_came_from(_) ->
    C = new(),
    Other = new(),
    ok = py:exec(C, "import erlang\nsecret = 1"),
    ok = py:register_function(change, fun([N]) ->
                                              {ok, 1} = py:eval(C, "secret"),
                                              ok = py_context:renew(C),
                                              {ok, 2} = py:eval(Other, "2"),
                                              ok = py:exec(C, "secret += 1"),
                                              {ok, S} = py:eval(C, "secret + n", #{n => N}),
                                              S
                                      end),
    ?assertEqual({ok, [12, 2]}, py:eval(C, "[erlang.change(10), secret]")),
    ?assertMatch({error, {"NameError", _}}, py:eval(C, "secret")),
    ok = py:unregister_function(change),
    alone(C).

%% They live on in the former helper, which ends when the last one is gone.
references_go_on(_) ->
    C = new(),
    {ok, Ref} = py:call(C, builtins, list, [[1]], #{return => ref}),
    ok = py_context:renew(C),
    ok = py_context:renew(C),
    ?assertEqual({ok, none}, py:call_method(Ref, append, [2])),
    ?assertEqual({ok, [1, 2]}, py:to_term(Ref)),
    ?assertMatch({ok, _}, py:getattr(Ref, '__doc__')),
    {ok, Copy} = py:call_method(Ref, copy, [], #{return => ref}),
    ?assertEqual({ok, none}, py:call_method(Copy, extend, [Ref])),
    ?assertEqual({ok, [1, 2, 1, 2]}, py:to_term(Copy)),
    %% As an argument it belongs to a call in the helper that serves.
    ?assertEqual({error, {stale_ref, Ref}}, py:call(C, builtins, len, [Ref])),
    py_ct:eventually(fun() -> info(C, retired) =:= 1 end),
    ok = py_context:release(Copy),
    ok = py_context:release(Ref),
    alone(C),
    ?assertEqual({error, {stale_ref, Ref}}, py:to_term(Ref)).

%% One that nobody holds any more is let go of there, too.
references_are_garbage(_) ->
    C = new(),
    Here = self(),
    {Pid, Mon} = spawn_monitor(fun() ->
                                       {ok, Ref} = py:call(C, builtins, list, [], #{return => ref}),
                                       Here ! {self(), has_one},
                                       receive go -> {ok, []} = py:to_term(Ref) end
                               end),
    receive {Pid, has_one} -> ok end,
    ok = py_context:renew(C),
    Pid ! go,
    receive {'DOWN', Mon, process, Pid, Why} -> ?assertEqual(normal, Why) end,
    alone(C).

references_for_a_bounded_time(_) ->
    C = new(#{retire_ms => 300}),
    {ok, Ref} = py:call(C, builtins, list, [[1]], #{return => ref}),
    ok = py_context:renew(C),
    alone(C),
    ?assertEqual({error, {stale_ref, Ref}}, py:to_term(Ref)),
    None = new(#{retire_ms => 0}),
    {ok, Other} = py:call(None, builtins, list, [[1]], #{return => ref}),
    ok = py_context:renew(None),
    alone(None),
    ?assertEqual({error, {stale_ref, Other}}, py:to_term(Other)).

%% A stream has all its items, in order, from where it began.
streams_go_on(_) ->
    C = new(),
    ok = py:exec(C, "def items(n):\n  for i in range(n): yield i\n"
                    "async def aitems(n):\n  for i in range(n): yield i\n"),
    All = lists:seq(0, 999),
    Begun = [begin
                 {ok, Ref} = py:stream_start(C, '__main__', F, [1000], #{window => 10}),
                 receive {py_stream, Ref, {data, 0}} -> Ref end
             end || F <- [items, aitems]],
    ok = py_context:renew(C),
    ?assertMatch({error, {"NameError", _}}, py:eval(C, "items")),
    [?assertEqual(tl(All), items(Ref, [])) || Ref <- Begun],
    alone(C),
    {ok, Endless} = py:stream_start(C, itertools, count, []),
    receive {py_stream, Endless, {data, 0}} -> ok end,
    ok = py_context:renew(C),
    ?assertEqual(1, info(C, retired)),
    ok = py:stream_cancel(Endless),
    alone(C).

items(Ref, Acc) ->
    receive
        {py_stream, Ref, {data, Item}} -> items(Ref, [Item | Acc]);
        {py_stream, Ref, done} -> lists:reverse(Acc);
        {py_stream, Ref, {error, _} = Error} -> Error
    end.

streams_for_a_bounded_time(_) ->
    C = new(#{retire_ms => 300}),
    {ok, Ref} = py:stream_start(C, itertools, count, []),
    receive {py_stream, Ref, {data, 0}} -> ok end,
    ok = py_context:renew(C),
    ?assertMatch({error, {stale_ref, _}}, items(Ref, [])),
    alone(C).

%% A reference that is still to come is one of the former helper.
references_under_way(_) ->
    C = new(),
    ok = py:exec(C, "import time\ndef slow():\n  time.sleep(0.3)\n  return [1]"),
    Cast = py:cast(C, '__main__', slow, [], #{return => ref}),
    ok = py_context:renew(C),
    {ok, Ref} = py:await(Cast),
    ?assertEqual({ok, [1]}, py:to_term(Ref)),
    ok = py_context:release(Ref),
    alone(C).

%% A request that waits goes on, and what was sent arrives.
messages_and_waits(_) ->
    C = new(),
    {ok, Channel} = py_channel:new(),
    ok = py:exec(C, waits()),
    Coroutine = py:async_call(C, asyncio, sleep, [0.3, <<"slept">>]),
    Hears = py:cast(C, '__main__', hear, [Channel]),
    ok = py_context:renew(C),
    ok = py_channel:send(Channel, <<"late">>),
    ?assertEqual({ok, <<"late">>}, py:await(Hears)),
    ?assertEqual({ok, <<"slept">>}, py:async_await(Coroutine)),
    alone(C),
    ok = py:exec(C, waits()),
    {ok, none} = py:call(C, '__main__', tell, [self()]),
    ok = py_context:renew(C),
    ?assertEqual(lists:seq(0, 999), [receive N -> N end || _ <- lists:seq(0, 999)]),
    ok = py_channel:close(Channel),
    alone(C).

%% A thread of Python that waits ends with its helper, and takes nothing along.
threads_that_wait(_) ->
    C = new(),
    {ok, Channel} = py_channel:new(),
    ok = py:exec(C, waits()),
    {ok, none} = py:call(C, '__main__', apart, [Channel]),
    ok = py_context:renew(C),
    alone(C),
    ok = py_channel:send(Channel, 1),
    ?assertEqual({ok, 1}, py_channel:recv(Channel, 20000)),
    ok = py_channel:close(Channel).

waits() ->
    "import erlang, threading\n"
    "def hear(t): return erlang.Channel(t).receive()\n"
    "def tell(pid):\n  for i in range(1000): erlang.send(pid, i)\n"
    "def apart(t): threading.Thread(target=hear, args=(t,), daemon=True).start()".

%% Those who wait because the port is busy go to the next helper.
busy_port(_) ->
    C = new(),
    Large = binary:copy(<<"x">>, 3 * 1024 * 1024),
    ok = py:exec(C, "import time"),
    Running = ask(C, "time.sleep(0.7) or 1"),
    Self = self(),
    Callers = [spawn_link(fun() -> Self ! {self(), py:call(C, builtins, len, [Large])} end)
               || _ <- lists:seq(1, 8)],
    py_ct:eventually(fun() -> maps:get(outstanding, info(C, stats)) > 8388608 end),
    ok = py_context:renew(C),
    ?assertEqual({ok, 1}, answer(Running)),
    ?assertEqual([{ok, byte_size(Large)}], lists:usort([answer(P) || P <- Callers])),
    alone(C).

timeout_in_a_retired_helper(_) ->
    C = new(#{grace_ms => 200}),
    Self = self(),
    Soft = spawn_link(fun() -> Self ! {self(), py_context:eval(C, py_ct:stuck(), #{}, 1000)} end),
    py_ct:eventually(fun() -> py_SUITE:pending(C) =:= 1 end),
    Behind = ask(C, "7"),
    ok = py_context:renew(C),
    ?assertEqual({error, timeout}, answer(Soft)),
    ?assertEqual({ok, 7}, answer(Behind)),
    alone(C),
    ?assertEqual(0, info(C, crashes)).

crash_of_a_retired_helper(_) ->
    C = new(),
    Running = ask(C, "__import__('time').sleep(0.5) or __import__('os').abort()"),
    Behind = ask(C, "7"),
    ok = py_context:renew(C),
    ?assertMatch({error, {crashed, #{signal := sigabrt, request := #{}}}}, answer(Running)),
    ?assertMatch({error, {crashed, #{signal := sigabrt}}}, answer(Behind)),
    ?assertEqual({ok, 1}, py:eval(C, "1")),
    alone(C),
    ?assertMatch({1, 0}, {info(C, crashes), info(C, restarts)}).

caller_of_a_retired_helper_dies(_) ->
    C = new(),
    Running = ask(C, py_ct:stuck()),
    Old = info(C, os_pid),
    ok = py_context:renew(C),
    unlink(Running),
    exit(Running, kill),
    alone(C),
    py_ct:eventually(fun() -> not py_ct:alive(Old) end).

output_of_both(_) ->
    C = new(),
    ok = py:exec(C, "import time"),
    Running = ask(C, "[(time.sleep(0.02), print('x' * 9000)) for _ in range(30)] and 5"),
    ok = py_context:renew(C),
    {ok, none} = py:eval(C, "print('y' * 200000)"),
    ?assertEqual({ok, 5}, answer(Running)),
    ?assertEqual({ok, 1}, py:eval(C, "1")),
    alone(C).

%% A former helper still sends, and still receives.
messages_of_both(_) ->
    C = new(),
    {ok, Channel} = py_channel:new(),
    ok = py:exec(C, "import erlang\ndef echo(pid, channel):\n"
                    "    for value in erlang.Channel(channel): erlang.send(pid, value)\n"
                    "    return 'ended'\n"),
    Self = self(),
    Running = spawn_link(fun() ->
                                 Self ! {self(), py:call(C, '__main__', echo, [Self, Channel])}
                         end),
    ok = py_channel:send(Channel, 1),
    got(1),
    ok = py_context:renew(C),
    [begin ok = py_channel:send(Channel, N), got(N) end || N <- lists:seq(2, 20)],
    {ok, none} = py:call(C, erlang, send, [Self, 21]),
    got(21),
    ok = py_channel:close(Channel),
    ?assertEqual({ok, <<"ended">>}, answer(Running)),
    alone(C).

got(N) ->
    receive N -> ok after 20000 -> ct:fail({not_received, N}) end.

renew_without_a_helper(_) ->
    C = new(#{restart => #{free => 0, min_backoff => 60000, max_backoff => 60000,
                           stable_ms => 100000}}),
    {error, {crashed, _}} = py:call(C, os, '_exit', [1]),
    py_ct:eventually(fun() -> info(C, state) =:= backoff end),
    ?assertEqual({error, unavailable}, py:eval(C, "1")),
    ok = py_context:renew(C),
    ?assertEqual({ok, 1}, py:eval(C, "1")).

renew_while_it_crashes(_) ->
    C = new(#{restart => #{free => 1000}}),
    Killer = spawn_link(fun() -> kill_on(C, 30) end),
    Results = [py_context:renew(C) || _ <- lists:seq(1, 30)],
    Mon = monitor(process, Killer),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ?assertEqual([ok], lists:usort(Results)),
    py_ct:eventually(fun() -> py:eval(C, "1") =:= {ok, 1} end),
    alone(C).

kill_on(_, 0) ->
    ok;
kill_on(C, N) ->
    _ = py:call(C, os, '_exit', [1]),
    kill_on(C, N - 1).

failing_renewal(_) ->
    C = new(#{imports => [json]}),
    ok = py:exec(C, "x = 1"),
    {ok, Bad} = py_context_opts:context(#{imports => [no_such_module]}),
    {error, {boot_failed, {"ModuleNotFoundError", _}}} = py_caller:renew(C, Bad),
    {ok, Nowhere} = py_context_opts:context(#{runtime => nowhere}),
    {error, {runtime_failed, nowhere, unknown}} = py_caller:renew(C, Nowhere),
    ?assertEqual({ok, 1}, py:eval(C, "x")),
    ?assertEqual(0, info(C, renewals)),
    ok = py_context:renew(C),
    alone(C).

stop_while_both_live(_) ->
    C = new(),
    Running = ask(C, py_ct:stuck()),
    Pids = [info(C, os_pid), begin ok = py_context:renew(C), info(C, os_pid) end],
    ok = py_context:stop(C),
    ?assertEqual({error, {context_died, normal}}, answer(Running)),
    py_ct:eventually(fun() -> not lists:any(fun py_ct:alive/1, Pids) end).

stop_while_the_next_one_starts(_) ->
    C = new(#{env => #{"SLOW" => "1"}}),
    {ok, Slow} = py_context_opts:context(#{imports => [], argv => ["x"]}),
    Self = self(),
    [begin
         X = new(),
         P = spawn_link(fun() -> Self ! {self(), py_caller:renew(X, Slow)} end),
         erlang:yield(),
         ok = py_context:stop(X),
         ?assert(lists:member(answer(P), [ok, {error, {context_died, normal}},
                                          {error, {context_died, noproc}}]))
     end || _ <- lists:seq(1, 20)],
    ok = py_context:stop(C).

renew_nobody(_) ->
    C = new(),
    ok = py_context:stop(C),
    ?assertEqual({error, {context_died, noproc}}, py_context:renew(C)).

%%% Recycling

recycled_by_calls(_) ->
    {ok, [C1, C2]} = py_context_router:start_pool(own, 2, #{recycle => #{calls => 500}}),
    Callers = [caller(own) || _ <- lists:seq(1, 4)],
    py_ct:eventually(fun() -> info(C1, renewals) + info(C2, renewals) >= 5 end),
    _ = stop_callers(Callers),
    ?assertEqual([C1, C2], py_context_router:contexts(own)),
    [alone(C) || C <- [C1, C2]],
    %% Exactly so many: the next call finds a fresh one, sooner or later.
    C = new(#{recycle => #{calls => 10}}),
    Pids = [pid_of(C) || _ <- lists:seq(1, 10)],
    ?assertEqual(1, length(lists:usort(Pids))),
    py_ct:eventually(fun() -> info(C, renewals) =:= 1 end),
    ?assertNotEqual(hd(Pids), pid_of(C)).

recycled_by_age(_) ->
    {ok, [C1, C2]} = py_context_router:start_pool(own, 2, #{recycle => #{age => 100}}),
    Callers = [caller(own) || _ <- lists:seq(1, 2)],
    py_ct:eventually(fun() -> info(C1, renewals) >= 3 andalso info(C2, renewals) >= 3 end),
    _ = stop_callers(Callers).

recycled_by_memory(_) ->
    C = new(#{recycle => #{memory => 100 * 1024 * 1024}}),
    ok = py:exec(C, "small = bytearray(1000)"),
    Before = pid_of(C),
    ok = py:exec(C, "large = bytearray(b'x') * (150 * 1024 * 1024)"),
    py_ct:eventually(fun() -> info(C, renewals) =:= 1 end),
    ?assertNotEqual(Before, pid_of(C)),
    alone(C),
    #{rss := Rss} = info(C, process),
    ?assert(Rss < 100 * 1024 * 1024).

%% What can not be renewed goes on as it is, and is tried again.
failing_recycling(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "recycling"),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    Module = filename:join(Dir, "comes_and_goes.py"),
    ok = file:write_file(Module, "x = 1\n"),
    C = new(#{paths => [Dir], imports => [comes_and_goes], recycle => #{calls => 5}}),
    Tried = filename:join(Dir, "tried"),
    ok = file:write_file(Module, ["open('", Tried, "', 'w').close()\nx = nothing_like_this\n"]),
    [{ok, 1} = py:eval(C, "1") || _ <- lists:seq(1, 50)],
    py_ct:eventually(fun() -> filelib:is_file(Tried) end),
    ok = file:write_file(Module, "x = 1\n"),
    ?assertEqual(0, info(C, renewals)),
    py_ct:eventually(fun() -> info(C, renewals) =:= 1 end).

%%% Pools

reload_pool(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "reload"),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    Module = filename:join(Dir, "to_be_reloaded.py"),
    ok = file:write_file(Module, "def version(): return 1\n"),
    {ok, Contexts} = py_context_router:start_pool(own, 3, #{paths => [Dir]}),
    {ok, 1} = py:call(own, to_be_reloaded, version, []),
    Callers = [caller(own) || _ <- lists:seq(1, 4)],
    ok = file:write_file(Module, "def version(): return 'second'\n"),
    ok = py_context_router:reload_pool(own),
    ?assertEqual([{ok, <<"second">>}],
                 lists:usort([py:call(C, to_be_reloaded, version, []) || C <- Contexts])),
    ?assertEqual(Contexts, py_context_router:contexts(own)),
    [ok = py_context_router:reload_pool(own) || _ <- lists:seq(1, 5)],
    _ = stop_callers(Callers),
    {ok, #{renewals := 18, crashes := 0}} = py:stats(own),
    ?assertEqual({error, {no_pool, other}}, py_context_router:reload_pool(other)).

reload_with_options(_) ->
    {ok, [A, B] = Contexts} = py_context_router:start_pool(own, 2, #{env => #{"A" => "1"}}),
    Callers = [caller(own) || _ <- lists:seq(1, 2)],
    ok = py_context_router:reload_pool(own, #{env => #{"A" => "2"}, routing => least_loaded}),
    ?assertEqual([{ok, <<"2">>}],
                 lists:usort([py:call(C, os, getenv, [<<"A">>]) || C <- Contexts])),
    _ = stop_callers(Callers),
    Running = ask(B, py_ct:stuck()),
    ?assertEqual([{ok, A}], lists:usort([py_context_router:get_context(own)
                                         || _ <- lists:seq(1, 20)])),
    unlink(Running),
    exit(Running, kill),
    %% Whoever comes later has them too.
    exit(A, kill),
    py_ct:eventually(fun() -> not lists:member(A, py_context_router:contexts(own)) end),
    [New, B] = py_context_router:contexts(own),
    ?assertEqual({ok, <<"2">>}, py:call(New, os, getenv, [<<"A">>])).

failing_reload(_) ->
    {ok, Contexts} = py_context_router:start_pool(own, 2, #{env => #{"A" => "1"}}),
    Pids = [pid_of(C) || C <- Contexts],
    {error, {boot_failed, {"ModuleNotFoundError", _}}} =
        py_context_router:reload_pool(own, #{imports => [no_such_module]}),
    {error, {runtime_failed, pool_own, _}} =
        py_context_router:reload_pool(own, #{preload => [no_such_module]}),
    {error, {invalid, colour, red}} = py_context_router:reload_pool(own, #{colour => red}),
    {error, {invalid, options, x}} = py_context_router:reload_pool(own, x),
    ?assertEqual(Pids, [pid_of(C) || C <- Contexts]),
    ok = py_context_router:reload_pool(own),
    ?assertEqual({ok, <<"1">>}, py:call(own, os, getenv, [<<"A">>])),
    py_ct:eventually(fun() -> [default] =:= [N || {N, _} <- py_registry:runtimes()] end).

%% What the former zygote's helpers have under way ends in peace as well.
reload_own_runtime(_) ->
    {ok, [C | _]} = py_context_router:start_pool(own, 2, #{preload => [json], spares => 1}),
    {ok, Before} = py:call(C, os, getppid, []),
    Callers = [caller(own) || _ <- lists:seq(1, 2)],
    Running = ask(C, "__import__('time').sleep(2) or 5"),
    ok = py_context_router:reload_pool(own, #{preload => [statistics]}),
    ?assertEqual({ok, true}, py:eval(own, "'statistics' in __import__('sys').modules")),
    {ok, After} = py:call(C, os, getppid, []),
    ?assertNotEqual(Before, After),
    ?assertEqual({ok, 5}, answer(Running)),
    _ = stop_callers(Callers),
    py_ct:eventually(fun() -> not py_ct:alive(Before) end),
    py_ct:eventually(fun() -> [default, pool_own_2] =:=
                                  lists:sort([N || {N, _} <- py_registry:runtimes()]) end).

reloads_at_the_same_time(_) ->
    {ok, Contexts} = py_context_router:start_pool(own, 2, #{}),
    Callers = [caller(own) || _ <- lists:seq(1, 2)],
    Results = py_ct:parallel(6, fun(N) ->
                                        Env = #{"N" => integer_to_list(N)},
                                        py_context_router:reload_pool(own, #{env => Env})
                                end),
    ?assertEqual([ok], lists:usort(Results)),
    _ = stop_callers(Callers),
    ?assertEqual(1, length(lists:usort([py:call(C, os, getenv, [<<"N">>]) || C <- Contexts]))).
