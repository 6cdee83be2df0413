%% SPDX-License-Identifier: Apache-2.0
%% @doc Python calls Erlang functions: forms, values, errors, nesting, and what
%% happens when one side ends or gives up meanwhile.
-module(py_callback_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [registration, forms, keywords, runs_in_the_caller, inside_a_function, large_values,
     unknown_atoms, unencodable_values, too_large_values, erlang_errors, no_control_flow_exception,
     custom_stacks, sequential_order, exactly_once, two_hundred_deep, too_deep, nested_namespace,
     nested_errors, sys_exit_nested, os_exit_nested, others_meanwhile, indirect_nesting,
     indirect_nesting_while_another_could_go_on, nested_through_a_busy_port, signal_handlers_call,
     destructors_call, forked_children_can_not_call, boot_can_not_call, at_exit].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {grace_ms, 2000}, {restart, #{free => 1000}}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{}),
    ok = py:exec(C, "import erlang"),
    ok = py:register_function(echo, fun([X]) -> X end),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    C = context(Config),
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    ok = py_context:stop(C),
    ?assertEqual([], py_ct:mailbox()),
    ?assertEqual(undefined, get('$py_callback')),
    [ok = py:unregister_function(F) || F <- py_callback:registered()].

context(Config) ->
    proplists:get_value(context, Config).

%% A function that tells the test that it runs, and returns when it is told to.
gate() ->
    Test = self(),
    ok = py:register_function(gate, fun([Tag]) -> Test ! {in, Tag, self()}, await_go(Tag) end).

await_go(Tag) ->
    receive {go, Tag, Value} -> Value
    after 60000 -> error(never_told)
    end.

entered(Tag) ->
    receive {in, Tag, Pid} -> Pid
    after 60000 -> ct:fail({never_entered, Tag})
    end.

%% Run the fun in another process; `outcome/1' waits for what it returned.
start(Fun) ->
    spawn_monitor(fun() -> exit({outcome, Fun(), py_ct:mailbox()}) end).

outcome({Pid, Mon}) ->
    receive
        {'DOWN', Mon, process, Pid, {outcome, Outcome, []}} -> Outcome;
        {'DOWN', Mon, process, Pid, Reason} -> {died, Reason}
    after 60000 -> ct:fail({no_outcome, process_info(Pid, current_stacktrace)})
    end.

%%% Names and forms

registration(Config) ->
    C = context(Config),
    ok = py:register_function(<<"f">>, fun([]) -> first end),
    ?assertEqual({ok, first}, py:eval(C, "erlang.call('f')")),
    ok = py:register_function("f", fun([]) -> second end),
    ?assertEqual({ok, second}, py:eval(C, "erlang.call('f')")),
    ?assert(py_callback:is_registered(f)),
    ?assert(lists:member(<<"f">>, py_callback:registered())),
    ok = py:unregister_function(f),
    ok = py:unregister_function(f),
    ?assertNot(py_callback:is_registered(f)),
    {error, {"NameError", Message}} = py:eval(C, "erlang.call('f')"),
    ?assert(string:find(Message, "'f'") =/= nomatch),
    ?assertEqual({error, {invalid, name, 1}}, py:register_function(1, fun(_) -> ok end)),
    ?assertEqual({error, {invalid, function, x}}, py:register_function(f, x)),
    ?assertEqual({error, {invalid, function, {"m", f}}}, py:register_function(f, "m", f)).

forms(Config) ->
    C = context(Config),
    ok = py:register_function(total, lists, sum),
    ok = py:register_function(late, not_loaded_yet, f),
    ?assertEqual({ok, 6}, py:eval(C, "erlang.call('total', 1, 2, 3)")),
    ?assertEqual({ok, 6}, py:eval(C, "erlang.total(1, 2, 3)")),
    ok = py:exec(C, "from erlang import total as t"),
    ?assertEqual({ok, 6}, py:eval(C, "t(1, 2, 3)")),
    ?assertEqual({ok, 6}, py:eval(C, "erlang.call(erlang.atom('total'), 1, 2, 3)")),
    ?assertEqual({ok, [1, 2]}, py:eval(C, "list(map(erlang.echo, [1, 2]))")),
    {error, {"ErlangError", "error: Atom('undef')"}} = py:eval(C, "erlang.late()"),
    {error, {"NameError", _}} = py:eval(C, "erlang.call(17)"),
    {error, {"NameError", _}} = py:eval(C, "erlang.nobody_has_this()"),
    {error, {"AttributeError", _}} = py:eval(C, "erlang._nobody").

keywords(Config) ->
    C = context(Config),
    ok = py:register_function(both, fun(Args, Kwargs) -> {Args, Kwargs} end),
    ?assertEqual({ok, {[1], #{<<"a">> => 2}}}, py:eval(C, "erlang.both(1, a=2)")),
    ?assertEqual({ok, {[], #{}}}, py:eval(C, "erlang.both()")),
    ?assertEqual({ok, {[], #{<<"name">> => 1}}}, py:eval(C, "erlang.call('both', name=1)")),
    {error, {"ErlangError", Text}} = py:eval(C, "erlang.echo(1, a=2)"),
    ?assert(string:find(Text, "no_keyword_arguments") =/= nomatch).

%% It is this process: its group leader, its dictionary, its mailbox.
runs_in_the_caller(Config) ->
    C = context(Config),
    Self = self(),
    ok = py:register_function(who, fun([]) -> {self(), get(marker)} end),
    _ = put(marker, here),
    ?assertEqual({ok, {Self, here}}, py:eval(C, "erlang.who()")),
    _ = erase(marker),
    {Pid, _} = Started = start(fun() -> py:eval(C, "erlang.who()") end),
    ?assertEqual({ok, {Pid, none}}, outcome(Started)).

inside_a_function(Config) ->
    C = context(Config),
    Look = fun([]) -> {py_callback:context(), py_callback:deadline(), py_callback:in_request()} end,
    ok = py:register_function(look, Look),
    Ask = fun(Timeout) -> py:call(C, erlang, call, [<<"look">>], #{timeout => Timeout}) end,
    ?assertEqual({ok, {C, infinity, true}}, Ask(infinity)),
    {ok, {C, {deadline, At}, true}} = Ask(5000),
    ?assert(is_integer(At)),
    ?assertEqual({undefined, infinity, false}, Look([])).

%%% Values

large_values(Config) ->
    C = context(Config),
    ok = py:exec(C, "def there_and_back(v): return erlang.echo(v) == v"),
    ok = py:register_function(fill, fun([N]) -> binary:copy(<<"x">>, N) end),
    ok = py:register_function(size, fun([B]) -> byte_size(B) end),
    [begin
         ?assertEqual({ok, N}, py:eval(C, "len(erlang.fill(n))", #{n => N})),
         ?assertEqual({ok, N}, py:eval(C, "erlang.size('x' * n)", #{n => N})),
         ?assertEqual({ok, N}, py:eval(C, "erlang.size(bytes(n))", #{n => N})),
         Value = {binary:copy(<<255>>, N), [<<"a">>, binary:copy(<<"y">>, N)]},
         ?assertEqual({ok, true}, py:call(C, '__main__', there_and_back, [Value]))
     end || N <- [1, 4096, 65536, 102400, 300000, 8 bsl 20]].

unknown_atoms(Config) ->
    C = context(Config),
    {error, _} = py:eval(C, "erlang.call('echo', erlang.atom('never_seen'))"),
    {error, _} = py:eval(C, "erlang.call('never_seen')"),
    Atoms = erlang:system_info(atom_count),
    [begin
         Code = "erlang.call('echo', erlang.atom('never_seen_' + str(n)))",
         {error, {"ErlangError", Text}} = py:eval(C, Code, #{n => N}),
         ?assert(string:find(Text, "unknown_atom") =/= nomatch),
         {error, {"NameError", _}} = py:eval(C, "erlang.call('never_seen_' + str(n))", #{n => N})
     end || N <- lists:seq(1, 200)],
    ?assertEqual(Atoms, erlang:system_info(atom_count)).

%% What has no term is not sent, and what is half made leaves no trace.
unencodable_values(Config) ->
    C = context(Config),
    Ran = counters:new(1, []),
    ok = py:register_function(ran, fun([_]) -> counters:add(Ran, 1, 1) end),
    Code = "class Odd(dict):\n    pass\nclass Late:\n    def __len__(self): return 2\n"
           "    def __iter__(self):\n        yield 1\n        erlang.echo(2)\n"
           "        raise KeyError('late')\n",
    ok = py:exec(C, Code),
    {error, {"EncodeError", _}} = py:eval(C, "erlang.ran(object())"),
    {error, {"EncodeError", _}} = py:eval(C, "erlang.ran(['x' * 100000, object()])"),
    {error, {_, _}} = py:eval(C, "erlang.ran(Late())"),
    ?assertEqual(0, counters:get(Ran, 1)),
    ?assertEqual({ok, 1}, py:eval(C, "erlang.echo(1)")).

too_large_values(_) ->
    {ok, C} = py_context:new(#{max_frame => 100000}),
    Os = py_ct:helper_pid(C),
    ok = py:exec(C, "import erlang, threading\ndef in_thread(f, *args):\n    r = []\n"
                    "    def run():\n        try: r.append(f(*args))\n"
                    "        except Exception as e: r.append(type(e).__name__)\n"
                    "    t = threading.Thread(target=run)\n    t.start()\n    t.join()\n"
                    "    return r[0]"),
    ok = py:register_function(fill, fun([N]) -> binary:copy(<<"x">>, N) end),
    {error, {"ErlangError", Text}} = py:eval(C, "erlang.fill(200000)"),
    ?assert(string:find(Text, "too_large") =/= nomatch),
    ?assertEqual({ok, <<"ErlangError">>}, py:eval(C, "in_thread(erlang.fill, 200000)")),
    {error, {"EncodeError", _}} = py:eval(C, "erlang.echo('x' * 200000)"),
    ?assertEqual({ok, <<"EncodeError">>}, py:eval(C, "in_thread(erlang.echo, 'x' * 200000)")),
    ?assertEqual({ok, 50000}, py:eval(C, "len(erlang.fill(50000))")),
    ?assertEqual(Os, py_ct:helper_pid(C)),
    ok = py_context:stop(C).

%%% Errors

erlang_errors(Config) ->
    C = context(Config),
    ok = py:register_function(fail, fun([Class, Reason]) ->
                                            case Class of
                                                error -> error({bad, Reason});
                                                exit -> exit(Reason);
                                                throw -> throw([Reason])
                                            end
                                    end),
    ok = py:exec(C, "def told(kind, reason):\n    try:\n        erlang.fail(kind, reason)\n"
                    "    except erlang.ErlangError as e:\n"
                    "        return (e.kind, e.reason, e.stacktrace, isinstance(e, RuntimeError))"),
    {ok, {<<"error">>, {bad, 1}, Stack, true}} = py:call(C, '__main__', told, [error, 1]),
    [{<<"py_callback_SUITE">>, _, _, File, Line} | _] = Stack,
    ?assert(binary:match(File, <<"py_callback_SUITE.erl">>) =/= nomatch andalso Line > 0),
    {ok, {<<"exit">>, normal, _, true}} = py:call(C, '__main__', told, [exit, normal]),
    {ok, {<<"throw">>, [2], _, true}} = py:call(C, '__main__', told, [throw, 2]),
    ?assertEqual({error, {"ErlangError", "exit: 'gone'"}},
                 py:eval(C, "erlang.fail(erlang.atom('exit'), 'gone')")),
    {error, {"ErlangError", "error: Atom('function_clause')"}} = py:eval(C, "erlang.fail(1, 2, 3)").

%% Nothing but what was raised in Erlang comes out of a call, whatever is caught.
no_control_flow_exception(Config) ->
    C = context(Config),
    ok = py:exec(C, "seen = []\ndef down(n):\n    global seen\n    try:\n"
                    "        return 'bottom' if n == 0 else erlang.down(n - 1)\n"
                    "    except BaseException as e:\n"
                    "        seen.append(type(e).__name__)\n        raise"),
    ok = py:register_function(down, fun([N]) ->
                                            {ok, V} = py:call(C, '__main__', down, [N]),
                                            V
                                    end),
    ?assertEqual({ok, <<"bottom">>}, py:call(C, '__main__', down, [30])),
    ?assertEqual({ok, []}, py:eval(C, "seen")).

%% Whatever erlang:raise/3 lets through as a stack.
custom_stacks(Config) ->
    C = context(Config),
    Stacks = [[], [{m, f, [a, b], []}], [{m, f, 2, [{file, "x"}, {line, 3}]}],
              [{m, f, 1, [{file, [16#D800]}]}]],
    ok = py:register_function(raise, fun([N]) -> erlang:raise(error, x, lists:nth(N, Stacks)) end),
    [{error, {"ErlangError", _}} = py:eval(C, "erlang.call('raise', n)", #{n => N})
     || N <- lists:seq(1, length(Stacks))].

%%% Once, in order, nested

sequential_order(Config) ->
    C = context(Config),
    Self = self(),
    ok = py:register_function(note, fun([N]) -> Self ! {note, N}, N end),
    N = 2000,
    ?assertEqual({ok, N * (N - 1) div 2},
                 py:eval(C, "sum(erlang.note(i) for i in range(n))", #{n => N})),
    [receive {note, I} -> ok after 0 -> ct:fail({missing, I}) end || I <- lists:seq(0, N - 1)].

exactly_once(Config) ->
    C = context(Config),
    Ran = counters:new(1, []),
    ok = py:register_function(ran, fun([N]) -> counters:add(Ran, 1, 1), N end),
    ok = py:exec(C, "count = 0\ndef body(n):\n    global count\n    count += 1\n"
                    "    return [erlang.ran(i) for i in range(n)]"),
    ?assertEqual({ok, lists:seq(0, 99)}, py:call(C, '__main__', body, [100])),
    ?assertEqual({ok, 1}, py:eval(C, "count")),
    ?assertEqual(100, counters:get(Ran, 1)).

descend(C) ->
    Ran = counters:new(1, []),
    ok = py:exec(C, "count = 0\nbottom = None\ndef down(n):\n    global count, bottom\n"
                    "    count += 1\n    try:\n"
                    "        return 0 if n == 0 else 1 + erlang.down(n - 1)\n"
                    "    except RecursionError as e:\n"
                    "        bottom = [type(e).__name__, str(e)]\n        raise"),
    Down = fun([N]) ->
                   counters:add(Ran, 1, 1),
                   case py:call(C, '__main__', down, [N], #{timeout => infinity}) of
                       {ok, V} -> V;
                       {error, _} -> throw(failed)
                   end
           end,
    ok = py:register_function(down, Down),
    Ran.

two_hundred_deep(Config) ->
    C = context(Config),
    Ran = descend(C),
    ?assertEqual({ok, 200}, py:call(C, '__main__', down, [200], #{timeout => infinity})),
    ?assertEqual({ok, 201}, py:eval(C, "count")),
    ?assertEqual(200, counters:get(Ran, 1)).

%% A function is called or it is not: no frame of a call that was refused.
too_deep(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    Ran = descend(C),
    {error, {"ErlangError", _}} = py:call(C, '__main__', down, [100000], #{timeout => infinity}),
    {ok, [<<"RecursionError">>, Text]} = py:eval(C, "bottom"),
    ?assert(binary:match(Text, <<"maximum recursion depth exceeded">>) =/= nomatch),
    {ok, Count} = py:eval(C, "count"),
    Depth = counters:get(Ran, 1),
    ?assert(Depth >= 200),
    ?assert(Count =:= Depth orelse Count =:= Depth + 1),
    ?assertEqual(Os, py_ct:helper_pid(C)),
    ?assertEqual({ok, 50}, py:call(C, '__main__', down, [50])).

nested_namespace(Config) ->
    C = context(Config),
    ok = py:register_function(more, fun([]) ->
                                            {ok, 1} = py:eval(C, "x"),
                                            ok = py:exec(C, "x = 2"),
                                            {ok, V} = py:eval(C, "x + y", #{y => 1}),
                                            V
                                    end),
    ok = py:exec(C, "x = 1\nz = erlang.more()"),
    ?assertEqual({ok, {2, 3}}, py:eval(C, "(x, z)")).

nested_errors(Config) ->
    C = context(Config),
    ok = py:register_function(inner, fun([Code]) -> py:eval(C, Code) end),
    ?assertEqual({ok, {error, {"ZeroDivisionError", "division by zero"}}},
                 py:eval(C, "erlang.inner('1/0')")),
    ?assertEqual({ok, {ok, 1}}, py:eval(C, "erlang.inner('1')")).

sys_exit_nested(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    ok = py:register_function(inner, fun([]) -> py:exec(C, "import sys; sys.exit(3)") end),
    ?assertEqual({ok, {error, {"SystemExit", "3"}}}, py:eval(C, "erlang.inner()")),
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% Both requests are told of the same death, and of what ran then.
os_exit_nested(Config) ->
    C = context(Config),
    Self = self(),
    Inner = fun([]) -> Self ! {inner, py:exec(C, "import os; os._exit(5)")} end,
    ok = py:register_function(inner, Inner),
    {error, {crashed, #{exit_status := 5} = Report}} = py:eval(C, "erlang.inner()"),
    receive {inner, {error, {crashed, Told}}} -> ?assertEqual(Report, Told) end,
    #{request := #{what := What}} = Report,
    ?assert(binary:match(What, <<"os._exit">>) =/= nomatch).

%%% Others

others_meanwhile(Config) ->
    C = context(Config),
    ok = gate(),
    A = start(fun() -> py:eval(C, "erlang.gate('a') + 1") end),
    InA = entered(<<"a">>),
    ?assertEqual([{ok, I} || I <- lists:seq(1, 100)],
                 py_ct:parallel(100, fun(I) -> py:eval(C, "erlang.echo(x)", #{x => I}) end)),
    ?assertEqual({error, timeout}, py:exec(C, py_ct:stuck(), 100)),
    InA ! {go, <<"a">>, 1},
    ?assertEqual({ok, 2}, outcome(A)).

%% The function asks another process, which uses the same context.
indirect_nesting(Config) ->
    C = context(Config),
    Ask = fun(X) -> py:eval(C, "erlang.echo(x)", #{x => X}) end,
    ok = py:register_function(far, fun([X]) -> hd(py_ct:parallel(1, fun(_) -> Ask(X) end)) end),
    ?assertEqual([{ok, {ok, I}} || I <- lists:seq(1, 20)],
                 py_ct:parallel(20, fun(I) -> py:eval(C, "erlang.far(x)", #{x => I}) end)).

%% A could go on, but B is on top of it, and B's function needs a stranger.
indirect_nesting_while_another_could_go_on(Config) ->
    C = context(Config),
    ok = gate(),
    A = start(fun() -> py:eval(C, "erlang.gate('a')") end),
    InA = entered(<<"a">>),
    B = start(fun() -> py:eval(C, "erlang.gate('b')") end),
    InB = entered(<<"b">>),
    InA ! {go, <<"a">>, 1},
    ?assertEqual({ok, 3}, outcome(start(fun() -> py:eval(C, "1 + 2") end))),
    InB ! {go, <<"b">>, 2},
    ?assertEqual([{ok, 1}, {ok, 2}], [outcome(A), outcome(B)]).

%% More is under way than a port takes: what a callback needs goes through.
nested_through_a_busy_port(Config) ->
    C = context(Config),
    ok = gate(),
    Large = binary:copy(<<"x">>, 6 bsl 20),
    Len = fun([N]) -> py:call(C, builtins, len, [binary:part(Large, 0, N)]) end,
    ok = py:register_function(len, Len),
    ok = py:exec(C, "import time\ndef late(v):\n    time.sleep(0.5)\n    return len(v)"),
    Code = "(erlang.gate('a'), [erlang.len(n) for n in (10, 100000, 6 << 20)])",
    A = start(fun() -> py:eval(C, Code) end),
    InA = entered(<<"a">>),
    Others = [start(fun() -> py:call(C, '__main__', late, [Large]) end) || _ <- lists:seq(1, 4)],
    py_ct:eventually(fun() -> py_SUITE:pending(C) >= 3 end),
    InA ! {go, <<"a">>, 0},
    ?assertEqual({ok, {0, [{ok, 10}, {ok, 100000}, {ok, 6 bsl 20}]}}, outcome(A)),
    [?assertEqual({ok, 6 bsl 20}, outcome(O)) || O <- Others].

%%% Odd places to call from

%% The handler runs while its request waits for another callback.
signal_handlers_call(Config) ->
    C = context(Config),
    ok = gate(),
    ok = py:exec(C, "import os, signal\ngot = []\n"
                    "signal.signal(signal.SIGUSR1, lambda *a: got.append(erlang.echo('h')))"),
    Os = py_ct:helper_pid(C),
    A = start(fun() -> py:eval(C, "[erlang.gate('a'), got]") end),
    InA = entered(<<"a">>),
    "" = os:cmd("kill -USR1 " ++ integer_to_list(Os)),
    py_ct:eventually(fun() -> py:eval(C, "len(got)") =:= {ok, 1} end),
    InA ! {go, <<"a">>, 1},
    ?assertEqual({ok, [1, [<<"h">>]]}, outcome(A)),
    "" = os:cmd("kill -USR1 " ++ integer_to_list(Os)), % while it is idle
    py_ct:eventually(fun() -> py:eval(C, "len(got)") =:= {ok, 2} end).

%% Of a request's result when that has been sent, and of what is collected while
%% one waits.
destructors_call(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    Ran = counters:new(1, []),
    ok = py:register_function(ran, fun([]) -> counters:add(Ran, 1, 1) end),
    ok = py:exec(C, "class D(list):\n    def __del__(self): erlang.ran()\n"
                    "def fail():\n    d = D()\n    raise ValueError(d)"),
    [?assertEqual({ok, [N]}, py:eval(C, "D([n])", #{n => N})) || N <- lists:seq(1, 100)],
    [{error, {"ValueError", _}} = py:eval(C, "fail()") || _ <- lists:seq(1, 100)],
    ok = py:register_function(nest, fun([]) -> py:eval(C, "D([1])") end),
    [?assertEqual({ok, {ok, [1]}}, py:eval(C, "erlang.nest()")) || _ <- lists:seq(1, 100)],
    py_ct:eventually(fun() -> {ok, _} = py:eval(C, "1"), counters:get(Ran, 1) =:= 300 end),
    ?assertEqual(Os, py_ct:helper_pid(C)).

forked_children_can_not_call(Config) ->
    C = context(Config),
    ok = py:exec(C, "import os\ndef child(f):\n    pid = os.fork()\n    if pid == 0:\n"
                    "        try: f()\n        except RuntimeError: os._exit(42)\n"
                    "        os._exit(1)\n"
                    "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
                    "def awaits():\n    import asyncio\n"
                    "    asyncio.run(erlang.async_call('echo', 1))"),
    ok = py:register_function(nest, fun([Code]) -> py:eval(C, Code) end),
    [begin
         ?assertEqual({ok, 42}, py:eval(C, Code)),
         ?assertEqual({ok, {ok, 42}}, py:eval(C, "erlang.nest(code)", #{code => Code}))
     end || Code <- [<<"child(lambda: erlang.echo(1))">>, <<"child(awaits)">>]].

boot_can_not_call(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    ok = file:write_file(filename:join(Dir, "calls_at_import.py"),
                         "import erlang\nerlang.call('echo', 1)\n"),
    {error, {boot_failed, {"RuntimeError", _}}} =
        py_context:new(#{paths => [Dir], imports => [calls_at_import]}).

%% Threads that still call are told that it is over, and what exit handlers try.
at_exit(Config) ->
    File = filename:join(proplists:get_value(priv_dir, Config), "at_exit"),
    {ok, C} = py_context:new(#{}),
    Code = "import atexit, erlang, threading\nsaid = []\ndef attempt(f):\n    try:\n"
           "        f()\n    except Exception as e:\n        said.append(type(e).__name__)\n"
           "def last():\n    attempt(lambda: erlang.echo(1))\n    t.join()\n"
           "    open(name, 'w').write(' '.join(said))\natexit.register(last)\n"
           "def loop():\n    while True: erlang.echo(1)\n"
           "t = threading.Thread(target=attempt, args=(loop,))\nt.start()",
    ok = py:exec(C, ["name = '", File, "'\n", Code]),
    ok = py_context:stop(C),
    ?assertEqual({ok, <<"RuntimeError RuntimeError">>}, file:read_file(File)).
