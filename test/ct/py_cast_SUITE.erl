%% SPDX-License-Identifier: Apache-2.0
%% @doc Calls whose answer comes later.
-module(py_cast_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [forms, message, options, bad_arguments, order, no_reply, large_values, many_unread,
     await_in_vain, timeout_of_the_call, only_its_caller_awaits, caller_dies,
     no_reply_outlives_its_caller, callbacks, helper_dies, context_dies, while_starting,
     more_than_fits, parallel_order, parallel_error, parallel_spreads, nothing_lasts, last_error,
     last_error_of_coroutines, last_errors_are_bounded, killed].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:eventually(fun() -> ets:info(py_workers, size) =:= 0 end).

define(Code) ->
    C = py:context(1),
    ok = py:exec(C, Code),
    C.

forms(_) ->
    C = py:context(1),
    ?assertEqual({ok, 4.0}, py:await(py:cast(math, sqrt, [16]))),
    ?assertEqual({ok, 255}, py:await(py:cast(builtins, int, [<<"ff">>], #{base => 16}))),
    ?assertEqual({ok, 255}, py:await(py:cast(builtins, int, [<<"ff">>], #{base => 16}, 5000))),
    ?assertEqual({ok, 4.0}, py:await(py:cast(C, math, sqrt, [16]))),
    ?assertEqual({ok, 4.0}, py:await(py:cast(default, <<"math">>, "sqrt", [16]))),
    ?assertEqual({ok, 255}, py:await(py:cast(C, builtins, int, [<<"ff">>],
                                             #{kwargs => #{base => 16}, timeout => 5000}))),
    ?assertEqual({ok, 4.0}, py:await(py:spawn_call(math, sqrt, [16]), 5000)),
    ?assertEqual({ok, 4.0}, py:await(py:spawn_call(C, math, sqrt, [16]), 5000)),
    ?assertEqual({ok, 4.0}, py:await(py:spawn_call(C, math, sqrt, [16], 5000), infinity)).

message(_) ->
    Ref = py:cast(math, sqrt, [16]),
    ?assert(is_reference(Ref)),
    ?assertEqual({py_response, Ref, {ok, 4.0}}, receive Any -> Any end),
    Error = py:cast(math, sqrt, [-1]),
    ?assertEqual({py_response, Error, {error, {"ValueError", "math domain error"}}},
                 receive Other -> Other end),
    ?assertEqual({error, {invalid, ref, Ref}}, py:await(Ref)).

options(_) ->
    C = py:context(1),
    {error, #{type := <<"ValueError">>}} =
        py:await(py:cast(C, math, sqrt, [-1], #{errors => map})),
    {ok, Object} = py:await(py:cast(C, builtins, dict, [], #{return => ref})),
    ?assert(py:is_ref(Object)),
    ?assertEqual({ok, #{}}, py:to_term(Object)),
    ok = py_context:release(Object).

bad_arguments(_) ->
    C = py:context(1),
    Await = fun(Ref) -> py:await(Ref, 0) end,
    ?assertEqual({error, {invalid, module, 1}}, Await(py:cast(1, sqrt, [16]))),
    ?assertEqual({error, {invalid, args, x}}, Await(py:cast(math, sqrt, x))),
    ?assertEqual({error, {invalid, kwargs, [16]}}, Await(py:cast("math", sqrt, [16], [16]))),
    ?assertEqual({error, {invalid, colour, red}},
                 Await(py:cast(C, math, sqrt, [16], #{colour => red}))),
    ?assertEqual({error, {invalid, reply, 1}},
                 Await(py:cast(C, math, sqrt, [16], #{reply => 1}))),
    ?assertEqual({error, {no_pool, nowhere}}, Await(py:cast(nowhere, math, sqrt, [16]))),
    ?assertEqual({error, {invalid, ref, none}}, Await(none)).

%% Calls of one process to one context begin in their order.
order(_) ->
    C = define("seen = []"),
    N = 2000,
    Refs = [py:cast(C, '__main__', 'seen.append', [I]) || I <- lists:seq(1, N)],
    [?assertEqual({ok, none}, py:await(Ref)) || Ref <- Refs],
    ?assertEqual({ok, lists:seq(1, N)}, py:eval(C, "seen")).

no_reply(_) ->
    C = define("seen = []"),
    [py:cast(C, '__main__', 'seen.append', [I], #{reply => false}) || I <- lists:seq(1, 100)],
    Last = py:cast(C, '__main__', 'missing', [], #{reply => false}),
    ?assertEqual({ok, lists:seq(1, 100)}, py:eval(C, "seen")),
    py_ct:eventually(fun() -> ets:info(py_workers, size) =:= 0 end),
    ?assertEqual({error, {invalid, ref, Last}}, py:await(Last)).

large_values(_) ->
    Data = binary:copy(<<"0123456789abcdef">>, 1 bsl 16),
    Refs = [py:cast(builtins, bytes, [{bytes, Data}]) || _ <- lists:seq(1, 4)],
    [?assertEqual({ok, Data}, py:await(Ref)) || Ref <- Refs].

%% A full mailbox makes no difference to who casts and awaits.
many_unread(_) ->
    N = 3000,
    Refs = [py:cast(math, sqrt, [16]) || _ <- lists:seq(1, N)],
    [?assertEqual({ok, 4.0}, py:await(Ref)) || Ref <- lists:reverse(Refs)].

await_in_vain(_) ->
    C = define("import time\nended = []\n"
               "def slow():\n"
               "  try: time.sleep(3600)\n"
               "  finally: ended.append(1)\n"),
    Ref = py:cast(C, '__main__', slow, []),
    ?assertEqual({error, timeout}, py:await(Ref, 50)),
    ?assertEqual({ok, [1]}, py:eval(C, "ended")),
    ?assertEqual({error, {invalid, ref, Ref}}, py:await(Ref, 0)).

timeout_of_the_call(_) ->
    C = py:context(1),
    Ref = py:cast(C, time, sleep, [3600], 50),
    ?assertEqual({error, timeout}, py:await(Ref)),
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")).

only_its_caller_awaits(_) ->
    C = py:context(1),
    Ref = py:cast(C, time, sleep, [3600]),
    [{error, {invalid, ref, Ref}}] = py_ct:parallel(1, fun(_) -> py:await(Ref, 0) end),
    ?assertEqual({error, timeout}, py:await(Ref, 0)).

caller_dies(_) ->
    caller_dies_in("pass"),
    ok = py:register_function(nothing, fun([]) -> nothing end),
    caller_dies_in("__import__('erlang').nothing()"),
    ok = py:unregister_function(nothing).

caller_dies_in(Code) ->
    C = define(["import time\nended = []\nbegun = []\n"
                "def slow():\n"
                "  ", Code, "\n"
                "  open(path, 'w').close()\n"
                "  try: time.sleep(3600)\n"
                "  finally: ended.append(1)\n"]),
    {Pid, Mon} = spawn_monitor(fun() -> cast_and_wait(C) end),
    File = filename:join(os:getenv("TMPDIR", "/tmp"), pid_to_list(Pid)),
    ok = py:exec(C, ["path = '", File, "'"]),
    Pid ! go,
    py_ct:eventually(fun() -> filelib:is_file(File) end),
    ok = file:delete(File),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ?assertEqual({ok, [1]}, py:eval(C, "ended")).

cast_and_wait(C) ->
    receive go -> ok end,
    _ = py:cast(C, '__main__', slow, []),
    receive never -> ok end.

no_reply_outlives_its_caller(_) ->
    C = define("import time\nran = []\n"
               "def slow():\n"
               "  time.sleep(0.2)\n"
               "  ran.append(1)\n"),
    [_] = py_ct:parallel(1, fun(_) -> py:cast(C, '__main__', slow, [], #{reply => false}) end),
    ?assertEqual({ok, [1]}, py:eval(C, "ran")).

%% They run in the process of the call, so its caller may do what it likes.
callbacks(_) ->
    C = py:context(1),
    Self = self(),
    ok = py:register_function(who, fun([X]) -> {X, self() =:= Self} end),
    Refs = [py:cast(C, erlang, call, [<<"who">>, N]) || N <- lists:seq(1, 50)],
    ?assertEqual([{ok, {N, false}} || N <- lists:seq(1, 50)], [py:await(R) || R <- Refs]),
    ok = py:register_function(block, fun([]) -> receive never -> ok end end),
    ?assertEqual({error, timeout}, py:await(py:cast(C, erlang, call, [<<"block">>]), 50)),
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    [ok = py:unregister_function(F) || F <- [who, block]].

helper_dies(_) ->
    C = py:context(1),
    Refs = [py:cast(C, time, sleep, [3600]) || _ <- lists:seq(1, 100)],
    {ok, #{os_pid := Pid}} = py_context:info(C),
    _ = os:cmd("kill -KILL " ++ integer_to_list(Pid)),
    [?assertMatch({error, {crashed, #{signal := sigkill}}}, py:await(Ref)) || Ref <- Refs],
    ?assertEqual({ok, 4.0}, py:await(py:cast(C, math, sqrt, [16]))).

context_dies(_) ->
    {ok, C} = py_context:new(#{}),
    Ref = py:cast(C, time, sleep, [3600]),
    ok = py_context:stop(C),
    {error, {_, _}} = py:await(Ref),
    ?assertEqual({error, {context_died, noproc}}, py:await(py:cast(C, math, sqrt, [16]))).

while_starting(_) ->
    {ok, [C | _]} = py_context_router:start_pool(fresh, 1),
    Ref = py:cast(fresh, math, sqrt, [16]),
    ?assertEqual({ok, 4.0}, py:await(Ref)),
    ?assertEqual(C, element(2, py_context_router:get_context(fresh))),
    ok = py_context_router:stop_pool(fresh).

%% Who casts more than a context takes waits for it.
more_than_fits(_) ->
    C = py:context(1),
    Data = binary:copy(<<255>>, 1 bsl 20),
    Refs = [py:cast(C, builtins, len, [{bytes, Data}]) || _ <- lists:seq(1, 60)],
    [?assertEqual({ok, 1 bsl 20}, py:await(Ref)) || Ref <- Refs].

parallel_order(_) ->
    ?assertEqual({ok, []}, py:parallel([])),
    Calls = [{builtins, pow, [N, 2]} || N <- lists:seq(1, 200)],
    ?assertEqual({ok, [N * N || N <- lists:seq(1, 200)]}, py:parallel(Calls)),
    ?assertEqual({ok, [255]}, py:parallel([{builtins, int, [<<"ff">>], #{base => 16}}])),
    ?assertEqual({error, {invalid, calls, x}}, py:parallel(x)),
    ?assertEqual({error, {invalid, call, x}}, py:parallel([x])).

%% What is behind the first error is ended, so no context is left busy.
parallel_error(_) ->
    Calls = [{math, sqrt, [1]}, {math, sqrt, [-1]}, {math, sqrt, [a]}] ++
            [{time, sleep, [3600]} || _ <- lists:seq(1, 4)],
    ?assertEqual({error, {"ValueError", "math domain error"}}, py:parallel(Calls)),
    [?assertEqual({ok, 2}, py:eval(C, "1 + 1")) || C <- py_context_router:contexts()].

parallel_spreads(_) ->
    {ok, Pids} = py:parallel([{os, getpid, []} || _ <- lists:seq(1, 8)]),
    ?assertEqual(2, length(lists:usort(Pids))).

nothing_lasts(_) ->
    C = py:context(1),
    Before = length(processes()),
    Words = element(2, process_info(self(), total_heap_size)),
    [py:cast(C, math, sqrt, [16], #{reply => false}) || _ <- lists:seq(1, 20000)],
    _ = py:call(C, math, sqrt, [16]),
    py_ct:eventually(fun() -> length(processes()) =< Before end),
    erlang:garbage_collect(),
    ?assert(element(2, process_info(self(), total_heap_size)) =< 4 * Words + 10000),
    {ok, #{stats := #{pending := Pending}}} = py_context:info(C),
    ?assertEqual(0, Pending).

%% What an awaited error is about is known where it was awaited, and nowhere else.
last_error(_) ->
    C = py:context(1),
    ?assertEqual(none, fresh(fun py:last_error/0)),
    fresh(fun() ->
        One = py:cast(C, math, sqrt, [-1]),
        Two = py:spawn_call(C, builtins, int, [<<"x">>]),
        Good = py:cast(C, math, sqrt, [4]),
        {error, {"ValueError", _}} = py:await(Two),
        #{type := <<"ValueError">>, message := <<"invalid literal", _/binary>>,
          traceback := <<"ValueError: ", _/binary>>} = py:last_error(),
        {error, {"ValueError", _}} = py:await(One),
        #{message := <<"math domain error">>} = Math = py:last_error(),
        {ok, 2.0} = py:await(Good),
        Math = py:last_error(),
        {error, timeout} = py:await(py:cast(C, time, sleep, [60], #{timeout => 50})),
        #{stack := <<_, _/binary>>} = py:last_error(),
        {error, #{type := <<"ValueError">>}} =
            py:await(py:cast(C, math, sqrt, [-1], #{errors => map})),
        #{type := <<"ValueError">>} = py:last_error(),
        {error, {invalid, _, _}} = py:await(py:cast(C, 7, sqrt, [-1])),
        #{type := <<"lost">>} = py:last_error(),
        {error, {crashed, _}} = py:await(py:cast(C, os, '_exit', [1])),
        #{type := <<"crashed">>, report := #{exit_status := 1}} = py:last_error(),
        {error, {"ZeroDivisionError", _}} =
            py:parallel([{math, sqrt, [4]}, {operator, truediv, [1, 0]}]),
        #{type := <<"ZeroDivisionError">>, frames := _} = py:last_error()
    end).

last_error_of_coroutines(_) ->
    C = py:context(1),
    ok = py:exec(C, "async def fails(): raise KeyError('here')"),
    fresh(fun() ->
        {error, {"KeyError", _}} = py:async_await(py:async_call(C, '__main__', fails, [])),
        #{type := <<"KeyError">>, traceback := Text} = py:last_error(),
        {_, _} = binary:match(Text, <<"in fails">>),
        {error, {"KeyError", _}} = py_event_loop:run(C, '__main__', fails, []),
        #{type := <<"KeyError">>} = py:last_error()
    end).

%% Of errors that nobody awaits so many are kept, and of each so much.
last_errors_are_bounded(_) ->
    C = py:context(1),
    Many = 1500,
    Refs = [py:cast(C, math, sqrt, [-1]) || _ <- lists:seq(1, Many)],
    [receive {py_response, Ref, {error, _}} -> ok end || Ref <- Refs],
    Stories = fun() -> length([1 || {Ref, _} <- ets:tab2list(py_stories), is_reference(Ref)]) end,
    ?assert(Stories() =< 1024),
    fresh(fun() ->
        Long = py:cast(C, builtins, 'int', [binary:copy(<<"x">>, 1)]),
        {error, {"ValueError", _}} = py:await(Long),
        ok = py:exec(C, "def long(): raise ValueError('x' * 65000)"),
        {error, {"ValueError", _}} = py:await(py:cast(C, '__main__', long, [])),
        #{type := <<"ValueError">>, message := Message} = Story = py:last_error(),
        65000 = byte_size(Message),
        false = is_map_key(traceback, Story)
    end),
    %% What is awaited goes.
    Before = Stories(),
    {error, _} = py:await(py:cast(C, math, sqrt, [-1])),
    ?assert(Stories() =< Before).

%% In a process that has had no error.
fresh(Fun) ->
    {Pid, Mon} = spawn_monitor(fun() -> exit({result, Fun()}) end),
    receive {'DOWN', Mon, process, Pid, {result, Result}} -> Result;
            {'DOWN', Mon, process, Pid, Reason} -> error(Reason)
    end.

%% The process of a cast is ended by a function that runs there: who awaits is told,
%% and in the end no row of it is left, whether somebody does or not.
killed(_) ->
    C = py:context(1),
    ok = py:register_function(py_cast_dies,
                              fun([]) -> exit(self(), kill), receive stop -> ok end end),
    Cast = fun(Options) -> py:cast(C, erlang, call, [<<"py_cast_dies">>], Options) end,
    {error, {killed, Why}} = py:await(Cast(#{})),
    ?assert(lists:member(Why, [killed, noproc])),
    ?assertEqual([], ets:tab2list(py_workers)),
    [_ = Cast(#{reply => false}) || _ <- lists:seq(1, 5)],
    ?assertEqual({ok, 2.0}, py:call(C, math, sqrt, [4])),
    Rows = fun() ->
                   Ref = make_ref(),
                   ok = py_workers:put(Ref, self()),
                   ok = py_workers:remove(Ref),
                   ets:info(py_workers, size)
           end,
    ?assert(lists:any(fun(_) -> Rows() =:= 0 end, lists:seq(1, 100000))),
    ok = py:unregister_function(py_cast_dies).
