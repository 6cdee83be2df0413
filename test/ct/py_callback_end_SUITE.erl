%% SPDX-License-Identifier: Apache-2.0
%% @doc Callbacks that do not go to their end: the time is up, somebody
%% interrupts, a caller dies, a helper dies, a context stops.  Only the one who
%% is meant is hit, and everybody is told.
-module(py_callback_end_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

%% Of wire.def.
-define(CALLBACK, 68).
-define(STARTED, 69).

-import(py_callback_SUITE, [context/1, gate/0, entered/1, start/1, outcome/1]).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [time_is_up_in_the_function, clean_up_calls, time_is_up_before_the_function,
     buried_and_too_late, buried_and_in_time, grace_is_for_the_one_that_runs,
     interrupted_while_it_waits, another_call_after_an_interrupt, caller_dies_in_the_function,
     caller_of_a_nested_one_dies, function_kills_the_helper, helper_dies_under_a_long_function,
     function_exits, context_stops_meanwhile, application_stops_meanwhile,
     function_of_a_thread_ends_with_the_helper, odd_questions, hostile_frames].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}, {grace_ms, 1000}, {stop_timeout, 500},
                      {restart, #{free => 1000}}]),
    {ok, C} = py_context:new(#{}),
    ok = py:exec(C, "import erlang, time\nended = []\ndef guarded(f, *args):\n    try:\n"
                    "        return f(*args)\n    except BaseException as e:\n"
                    "        ended.append(type(e).__name__)\n        raise"),
    ok = py:register_function(echo, fun([X]) -> X end),
    ok = py:register_function(nap, fun([Ms]) -> timer:sleep(Ms) end),
    ok = gate(),
    [{context, C} | Config].

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:stop().

ended(C) ->
    {ok, Ended} = py:eval(C, "ended"),
    Ended.

%% In a call of guarded, with so much time.
guarded(C, Function, Args, Timeout) ->
    py:exec(C, io_lib:format("guarded(~s, ~s)", [Function, Args]), Timeout).

%%% Time

%% The function goes on to its end; then Python is ended, not killed.
time_is_up_in_the_function(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    ?assertEqual({error, timeout}, guarded(C, "erlang.nap", "300", 100)),
    #{type := <<"KeyboardInterrupt">>} = py:last_error(),
    ?assertEqual([<<"KeyboardInterrupt">>], ended(C)),
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% What clean-up code calls then runs in a process of its own: the caller is not
%% there for it any more.
clean_up_calls(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    Self = self(),
    ok = py:register_function(ran, fun([N]) ->
                                       Self ! {ran, N, self(), py_callback:in_request()}
                                   end),
    ok = py:exec(C, "def clean(wait):\n    try:\n        wait()\n    finally:\n"
                    "        guarded(erlang.ran, 1)\n        guarded(erlang.ran, 2)"),
    [begin
         ?assertEqual({error, timeout}, py:exec(C, ["clean(", Wait, ")"], 100)),
         [receive {ran, N, Pid, In} -> ?assertEqual({false, false}, {In, Pid =:= Self}) end
          || N <- [1, 2]]
     end || Wait <- ["lambda: time.sleep(60)", "lambda: erlang.nap(200)"]],
    ?assertEqual([], ended(C)),
    ?assertEqual(Os, py_ct:helper_pid(C)).

time_is_up_before_the_function(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    Ran = counters:new(1, []),
    ok = py:register_function(ran, fun([]) -> counters:add(Ran, 1, 1) end),
    [?assertMatch({error, timeout}, py:call(C, erlang, call, [<<"ran">>], #{timeout => 0}))
     || _ <- lists:seq(1, 200)],
    ?assertEqual(0, counters:get(Ran, 1)),
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% A waits below B when its time is up.  A's caller is told as soon as its
%% function returns; B goes on; A is ended when B is through.
buried_and_too_late(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    A = start(fun() -> guarded(C, "erlang.gate", "'a'", 300) end),
    InA = entered(<<"a">>),
    B = start(fun() -> py:eval(C, "[erlang.gate('b'), time.sleep(1.5), 'b'][2]") end),
    InB = entered(<<"b">>),
    timer:sleep(400),
    InA ! {go, <<"a">>, 1},
    ?assertEqual({error, timeout}, outcome(A)),
    InB ! {go, <<"b">>, 1},
    ?assertEqual({ok, <<"b">>}, outcome(B)),
    ?assertEqual([<<"KeyboardInterrupt">>], ended(C)),
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% A has its answer in time, but can not go on before B.
buried_and_in_time(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    A = start(fun() -> guarded(C, "lambda: (erlang.gate('a'), time.sleep(60))", "", 500) end),
    InA = entered(<<"a">>),
    B = start(fun() -> py:eval(C, "erlang.gate('b')") end),
    InB = entered(<<"b">>),
    InA ! {go, <<"a">>, 1},
    ?assertEqual({error, timeout}, outcome(A)),
    InB ! {go, <<"b">>, 2},
    ?assertEqual({ok, 2}, outcome(B)),
    ?assertEqual([<<"KeyboardInterrupt">>], ended(C)),
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% B runs for longer than the grace while A, below it, has been given up.
grace_is_for_the_one_that_runs(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    {A, Mon} = start(fun() -> guarded(C, "erlang.gate", "'a'", 100000) end),
    A = entered(<<"a">>),
    B = start(fun() -> py:eval(C, "[print('b'), time.sleep(2.5), 'b'][2]") end),
    py_ct:eventually(fun() -> py_SUITE:pending(C) =:= 2 end),
    timer:sleep(300),
    exit(A, kill),
    receive {'DOWN', Mon, process, A, killed} -> ok end,
    ?assertEqual({ok, <<"b">>}, outcome(B)),
    ?assertEqual([<<"KeyboardInterrupt">>], ended(C)),
    ?assertEqual(Os, py_ct:helper_pid(C)).

%%% Interrupts

interrupted_while_it_waits(Config) ->
    C = context(Config),
    A = start(fun() -> guarded(C, "erlang.gate", "'a'", infinity) end),
    InA = entered(<<"a">>),
    ok = py:interrupt(C),
    py_ct:eventually(fun() -> ended(C) =:= [<<"KeyboardInterrupt">>] end),
    InA ! {go, <<"a">>, 1},
    {error, {"KeyboardInterrupt", _}} = outcome(A).

%% Its caller is still there: the next call reaches it, nested ones included.
another_call_after_an_interrupt(Config) ->
    C = context(Config),
    ok = py:register_function(nest, fun([Code]) -> {ok, V} = py:eval(C, Code), V end),
    ok = py:exec(C, "def stubborn():\n    try:\n        erlang.gate('a')\n"
                    "    except KeyboardInterrupt:\n        ended.append('caught')\n"
                    "    return erlang.nest('erlang.nest(\"40 + 2\")')"),
    A = start(fun() -> py:call(C, '__main__', stubborn, []) end),
    InA = entered(<<"a">>),
    ok = py:interrupt(C),
    py_ct:eventually(fun() -> ended(C) =:= [<<"caught">>] end),
    InA ! {go, <<"a">>, <<"an answer too late">>},
    ?assertEqual({ok, 42}, outcome(A)).

%%% Deaths

caller_dies_in_the_function(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    {A, Mon} = start(fun() -> guarded(C, "erlang.gate", "'a'", infinity) end),
    A = entered(<<"a">>),
    exit(A, kill),
    receive {'DOWN', Mon, process, A, killed} -> ok end,
    py_ct:eventually(fun() -> ended(C) =:= [<<"KeyboardInterrupt">>] end),
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% Both of its requests are ended, from the top.
caller_of_a_nested_one_dies(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    ok = py:register_function(nest, fun([]) -> guarded(C, "erlang.gate", "'in'", infinity) end),
    {A, Mon} = start(fun() -> guarded(C, "erlang.nest", "", infinity) end),
    A = entered(<<"in">>),
    exit(A, kill),
    receive {'DOWN', Mon, process, A, killed} -> ok end,
    py_ct:eventually(fun() -> length(ended(C)) =:= 2 end),
    ?assertEqual([<<"KeyboardInterrupt">>, <<"KeyboardInterrupt">>], ended(C)),
    ?assertEqual(Os, py_ct:helper_pid(C)).

function_kills_the_helper(Config) ->
    C = context(Config),
    Self = self(),
    ok = py:register_function(kill, fun([Os]) ->
                                            _ = os:cmd("kill -9 " ++ integer_to_list(Os)),
                                            Self ! {after_that, py:eval(C, "1")}
                                    end),
    {error, {crashed, #{signal := sigkill, request := #{what := What}}}} =
        py:eval(C, "erlang.kill(__import__('os').getpid())"),
    ?assert(binary:match(What, <<"erlang.kill">>) =/= nomatch),
    receive
        {after_that, {ok, 1}} -> ok; % of the next helper
        {after_that, {error, {crashed, #{signal := sigkill}}}} -> ok
    end.

%% The report waits as long as the function takes.
helper_dies_under_a_long_function(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    A = start(fun() -> py:eval(C, "erlang.gate('a')") end),
    InA = entered(<<"a">>),
    "" = os:cmd("kill -SEGV " ++ integer_to_list(Os)),
    py_ct:eventually(fun() -> py:eval(C, "1") =:= {ok, 1} end),
    Before = py_ct:census(),
    timer:sleep(2500),
    InA ! {go, <<"a">>, 1},
    {error, {crashed, #{signal := sigsegv, pid := Os}}} = outcome(A),
    py_ct:settled(maps:update_with(ports, fun(N) -> N - 1 end, Before)).

function_exits(Config) ->
    C = context(Config),
    ok = py:register_function(leave, fun([]) -> exit(normal) end),
    {error, {"ErlangError", "exit: Atom('normal')"}} = py:eval(C, "erlang.leave()"),
    ?assertEqual({ok, 1}, py:eval(C, "erlang.echo(1)")).

context_stops_meanwhile(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    A = start(fun() -> py:eval(C, "erlang.gate('a')") end),
    InA = entered(<<"a">>),
    ok = py_context:stop(C),
    ?assertNot(py_ct:alive(Os)),
    InA ! {go, <<"a">>, 1},
    {error, {context_died, _}} = outcome(A).

application_stops_meanwhile(Config) ->
    C = context(Config),
    A = start(fun() -> py:eval(C, "erlang.gate('a')") end),
    InA = entered(<<"a">>),
    ok = py_ct:stop(),
    ?assertEqual(0, maps:get(ports, py_ct:census())),
    InA ! {go, <<"a">>, 1},
    {error, {context_died, _}} = outcome(A).

%% Nobody would hear what it returns.
function_of_a_thread_ends_with_the_helper(Config) ->
    C = context(Config),
    Code = "import erlang, threading\n"
           "t = [threading.Thread(target=erlang.gate, args=(i,), daemon=True) for i in range(3)]\n"
           "for each in t: each.start()",
    Mons = [begin
                ok = py:exec(C, Code),
                Monitors = [erlang:monitor(process, entered(I)) || I <- [0, 1, 2]],
                _ = End(C),
                Monitors
            end || End <- [fun(X) -> py:exec(X, "import os; os._exit(1)") end,
                           fun(X) -> py_context:stop(X) end]],
    [receive {'DOWN', Mon, process, _, shutdown} -> ok
     after 20000 -> ct:fail(still_there)
     end || Mon <- lists:append(Mons)].

%%% Nonsense

%% Arguments of an odd shape are errors in Python.
odd_questions(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    ok = py:exec(C, "from erlang import _bridge"),
    [{error, {_, _}} = py:eval(C, ["_bridge.call(", Arguments, ")"])
     || Arguments <- ["None, (), {}", "'echo', (1,), []", "'echo', (1,), {1: 2}",
                      "'echo', 'ab', {}", "'echo', 1, {}", "'echo', (1,)",
                      "('state', 'nothing'), (), {}"]],
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% A helper that lies is killed; who waits is told, and does not die of it.
hostile_frames(_) ->
    {ok, C} = py_context:new(#{lane => false}),
    Question = fun(N) -> term_to_binary({N, <<"echo">>, [1], #{}}) end,
    Good = Question((1 bsl 63) + 1),
    Frames = [{?CALLBACK, 0, term_to_binary(x)}, {?CALLBACK, 0, Question(1)},
              {?CALLBACK, 0, Question(1 bsl 62)}, {?CALLBACK, 0, Question((1 bsl 64) + 1)},
              {?CALLBACK, 0, term_to_binary({(1 bsl 63) + 1, <<"echo">>, [1]})},
              {?CALLBACK, 0, binary:part(Good, 0, 14)}, {?CALLBACK, 1 bsl 20, Good},
              {?STARTED, 0, <<>>}, {?STARTED, 1 bsl 20, <<>>}],
    [begin
         ok = py:exec(C, intruder()),
         {error, {protocol, _}} = py:call(C, '__main__', intrude, [Op, Id, {bytes, Body}])
     end || {Op, Id, Body} <- Frames],
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    ok = py_context:stop(C).

%% Writes a frame past the helper.
intruder() ->
    "import os, struct, time\n"
    "def intrude(opcode, id, body):\n"
    "    for n in os.listdir('/proc/self/fd'):\n"
    "        name = '/proc/self/fd/' + n\n"
    "        if os.path.islink(name) and os.readlink(name).startswith('socket:'):\n"
    "            head = struct.pack('<IBBHQ', len(body), opcode, 0, 0, id)\n"
    "            os.write(int(n), head + body)\n"
    "    time.sleep(60)".
