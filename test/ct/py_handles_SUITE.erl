%% SPDX-License-Identifier: Apache-2.0
%% @doc Pids, ports, references and funs in contexts with a policy: handles that can be
%% kept, compared and given back, and sent to if that is granted; nothing else comes
%% out.
-module(py_handles_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [come_back, anywhere, in_python, levels, callbacks, in_threads, errors, sending, not_granted,
     self_and_whereis, never_to_contexts, forgotten, many_at_once, made_up, functions, replaced,
     objects_pass, trusted_as_ever, ended, nothing_is_left, used_once, used_once_and_not_at_all].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {log_output, false}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()).

new() -> new(#{}).

new(Policy) ->
    {ok, C} = py_context:new(#{policy => maps:merge(#{level => default}, Policy)}),
    ok = py_context:exec(C, "import erlang"),
    C.

ids() ->
    Port = hd(erlang:ports()),
    Remote = binary_to_term(<<131, 88, 119, 3, "a@b", 7:32, 0:32, 9:32>>),
    [self(), Port, make_ref(), Remote, erlang:alias()].

come_back(_) ->
    C = new(),
    [?assertEqual({ok, Id}, py_context:eval(C, "x", #{x => Id})) || Id <- ids()],
    [?assertEqual({ok, {[Id, Id], #{Id => 1}}},
                  py_context:eval(C, "([x, y], {x: 1})", #{x => Id, y => Id})) || Id <- ids()],
    ok = py_context:stop(C).

anywhere(_) ->
    C = new(),
    [A, B | _] = ids(),
    Term = {A, [B, {x, #{A => [B], <<"k">> => {A}}}], <<"text">>, [1 | A],
            maps:from_list([{N, A} || N <- lists:seq(1, 50)])},
    ?assertEqual({ok, Term}, py_context:call(C, copy, copy, [Term])),
    ?assertEqual({ok, Term}, py_context:eval(C, "x", #{x => Term})),
    Large = binary:copy(<<1>>, 100000),
    ?assertEqual({ok, {A, Large}}, py_context:eval(C, "(x, y)", #{x => A, y => Large})),
    {ok, Ref} = py_context:eval(C, "[x]", #{x => A}, #{return => ref}),
    ?assertEqual({ok, [A]}, py_context:to_term(Ref)),
    ?assertEqual({ok, [A]}, py:await(py:cast(C, builtins, list, [[A]]))),
    ok = py_context:stop(C).

%% They are what pids are, and do not tell which.
in_python(_) ->
    C = new(),
    Self = self(),
    ?assertEqual({ok, [true, true, false]},
                 py_context:eval(C, "[isinstance(x, erlang.Pid), x == y and hash(x) == hash(y),"
                                    " x == z]",
                                 #{x => Self, y => Self, z => whereis(init)})),
    {ok, Text} = py_context:eval(C, "repr(x)", #{x => Self}),
    [_, Number, _] = string:lexemes(pid_to_list(Self), "<.>"),
    ?assertEqual(nomatch, binary:match(Text, list_to_binary([$., Number, $.]))),
    ?assertEqual(nomatch, binary:match(Text, atom_to_binary(node()))),
    ?assertEqual({ok, Self}, py_context:eval(C, "__import__('pickle').loads("
                                                "__import__('pickle').dumps(x))", #{x => Self})),
    ok = py_context:stop(C).

levels(_) ->
    [begin
         C = new(#{level => Level}),
         ?assertEqual({ok, self()}, py_context:eval(C, "x", #{x => self()})),
         ok = py_context:stop(C)
     end || Level <- [default, strict]],
    ?assertMatch({ok, #{value := Pid}} when Pid =:= self(),
                 py_sandbox:run("x", #{inputs => #{x => self()}})).

callbacks(_) ->
    Self = self(),
    Ref = make_ref(),
    ok = py:register_function(py_handles_f, fun([P, K]) ->
                                                    ?assertEqual({Self, Ref}, {P, K}),
                                                    {P, [Ref, whereis(init)]}
                                            end),
    C = new(#{allow => [{call, [py_handles_f]}]}),
    ok = py_context:exec(C, "def f(p, k):\n"
                            "    q, (l, i) = erlang.call('py_handles_f', p, k)\n"
                            "    return (p == q, k == l, i)"),
    ?assertEqual({ok, {true, true, whereis(init)}}, py_context:call(C, '__main__', f, [Self, Ref])),
    ok = py_context:stop(C).

%% Callbacks that belong to no request find the same.
in_threads(_) ->
    Self = self(),
    ok = py:register_function(py_handles_tell, fun([P]) -> P ! {told, self()}, P end),
    C = new(#{allow => [{call, [py_handles_tell]}]}),
    ok = py_context:exec(C, "import threading\n"
                            "back = []\n"
                            "def f(p):\n"
                            "    def g(): back.append(erlang.call('py_handles_tell', p) == p)\n"
                            "    t = threading.Thread(target=g); t.start(); t.join()\n"),
    {ok, none} = py_context:call(C, '__main__', f, [Self]),
    receive {told, Other} -> ?assertNotEqual(Self, Other) after 10000 -> ct:fail(nothing) end,
    ?assertEqual({ok, [true]}, py_context:eval(C, "back")),
    ok = py_context:stop(C).

%% Reasons may hold some, and no place in this node's code goes along.
errors(_) ->
    Self = self(),
    ok = py:register_function(py_handles_fail, fun([]) -> error({bad, Self}) end),
    C = new(#{allow => [{call, [py_handles_fail]}]}),
    ok = py_context:exec(C, "def f():\n"
                            "    try: erlang.call('py_handles_fail')\n"
                            "    except Exception as e:\n"
                            "        return (str(e), vars(e))"),
    {ok, {Text, _} = All} = py_context:call(C, '__main__', f, []),
    ?assertEqual(nomatch, binary:match(Text, list_to_binary(pid_to_list(Self)))),
    Said = iolist_to_binary(io_lib:format("~0p", [All])),
    ?assertEqual(nomatch, binary:match(Said, atom_to_binary(?MODULE))),
    ok = py_context:stop(C).

sending(_) ->
    C = new(#{allow => [{send, passed}]}),
    ok = py_context:exec(C, "def f(p, r):\n    erlang.send(p, (r, p))\n    erlang.send(p, 2)"),
    Ref = make_ref(),
    {ok, none} = py_context:call(C, '__main__', f, [self(), Ref]),
    receive {Ref, P} -> ?assertEqual(self(), P) after 10000 -> ct:fail(nothing) end,
    receive 2 -> ok after 10000 -> ct:fail(nothing) end,
    {Dead, Mon} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ?assertMatch({error, {"ProcessError", _}}, py_context:call(C, '__main__', f, [Dead, 1])),
    ?assertMatch({error, {"TypeError", _}}, py_context:call(C, '__main__', f, [<<"init">>, 1])),
    ok = py_context:stop(C).

not_granted(_) ->
    true = register(py_handles_in, self()),
    lists:foreach(fun(Allow) ->
                          C = new(#{allow => Allow}),
                          ?assertMatch({error, {_, _}},
                                       py_context:eval(C, "erlang.send(p, 5)", #{p => self()})),
                          ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
                          ok = py_context:stop(C)
                  end, [[], [{send, [py_handles_in]}], [{call, all}]]),
    true = unregister(py_handles_in).

self_and_whereis(_) ->
    true = register(py_handles_in, self()),
    C = new(#{allow => [{send, passed}, {send, [py_handles_in]}]}),
    ?assertEqual({ok, self()}, py_context:eval(C, "erlang.self()")),
    ?assertEqual({ok, self()}, py_context:eval(C, "erlang.whereis('py_handles_in')")),
    ?assertEqual({ok, none}, py_context:eval(C, "erlang.whereis('init')")),
    ok = py_context:exec(C, "erlang.send(erlang.self(), 1)\nerlang.send('py_handles_in', 2)"),
    receive 1 -> ok after 10000 -> ct:fail(nothing) end,
    receive 2 -> ok after 10000 -> ct:fail(nothing) end,
    true = unregister(py_handles_in),
    ok = py_context:stop(C).

%% Such a message could be one of those by which a context is told what to do.
never_to_contexts(_) ->
    C = new(#{allow => [{send, passed}]}),
    {ok, Linked} = py_context:start_link(py_handles_linked, auto, #{}),
    [_, _, _, Remote | _] = ids(),
    [?assertMatch({error, {"TypeError", _}},
                  py_context:eval(C, "erlang.send(p, (erlang.Atom('$gen_cast'), 1))", #{p => P}))
     || P <- [C, Linked, hd(py_registry:contexts()), whereis(py_registry),
              whereis(py_context_sup), Remote]],
    true = unlink(Linked),
    ok = py_context:stop(Linked),
    ok = py_context:exec(C, "import threading\n"
                            "def f():\n"
                            "    try: erlang.send(erlang.self(), 1)\n"
                            "    except TypeError: said.append('refused')\n"
                            "said = []\n"
                            "t = threading.Thread(target=f); t.start(); t.join()"),
    ?assertEqual({ok, [<<"refused">>]}, py_context:eval(C, "said")),
    ok = py_context:stop(C).

%% The last ones are remembered; one before them is an error, and no violation.
forgotten(_) ->
    ok = py:register_function(py_handles_id, fun([X]) -> X end),
    C = new(#{limits => #{handles => 3}, allow => [{call, [py_handles_id]}, {send, passed}]}),
    ok = py_context:exec(C, "kept = []"),
    Refs = [make_ref() || _ <- lists:seq(1, 4)],
    [{ok, none} = py_context:eval(C, "kept.append(x)", #{x => Ref}) || Ref <- Refs],
    ?assertEqual({ok, tl(Refs)}, py_context:eval(C, "kept[1:]")),
    ?assertEqual({error, {limit, handles}}, py_context:eval(C, "kept[0]")),
    {error, {Type, _}} = py_context:eval(C, "erlang.call('py_handles_id', kept[0])"),
    ?assertNotEqual("Crash", Type),
    ok = py_context:exec(C, "erlang.send(erlang.self(), kept[0])\nerlang.send(erlang.self(), 1)"),
    receive 1 -> ok after 10000 -> ct:fail(nothing) end,
    %% It is given a new place, so Python has two of the same.
    ?assertEqual({ok, {hd(Refs), false}}, py_context:eval(C, "(x, x == kept[0])",
                                                          #{x => hd(Refs)})),
    ok = py_context:stop(C).

many_at_once(_) ->
    C = new(),
    Pids = py_ct:parallel(20, fun(_) ->
                                      [{ok, Pid} = py_context:eval(C, "x", #{x => Pid})
                                       || _ <- lists:seq(1, 30),
                                          Pid <- [self(), make_ref(), whereis(init)]],
                                      ok
                              end),
    ?assertEqual([ok], lists:usort(Pids)),
    ok = py_context:stop(C).

%% What an honest encoder sends is an exception; what no encoder of ours would send
%% is in py_evil_SUITE.
made_up(_) ->
    C = new(),
    Real = binary_to_list(term_to_binary(self())),
    Code = io_lib:format("__import__('_erlang').decode(bytes(~w))", [Real]),
    {error, {"EncodeError", Text}} = py_context:eval(C, Code),
    ?assert(string:find(Text, "Pid") =/= nomatch),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    %% A number that was never given out: well formed, and a violation.
    Forged = [131, 88, 119, 9 | "py_handle"] ++ [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ?assertEqual({error, {protocol, <<"an identifier that it was not given">>}},
                 py_context:eval(C, io_lib:format("__import__('_erlang').decode(bytes(~w))",
                                                  [Forged]))),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    ok = py_context:stop(C).

%% Neither their code nor what they hold gets there, and they come back whole.
functions(_) ->
    C = new(),
    Secret = <<"secret", (crypto:strong_rand_bytes(8))/binary>>,
    Own = fun() -> Secret end,
    ?assertEqual({ok, <<"Ref">>}, py_context:eval(C, "type(x).__name__", #{x => Own})),
    ?assertEqual({ok, true}, py_context:eval(C, "x == y", #{x => Own, y => Own})),
    ?assertEqual({ok, false}, py_context:eval(C, "x == y", #{x => Own, y => fun erlang:abs/1})),
    ?assertEqual({ok, false},
                 py_context:eval(C, "b'secret' in __import__('pickle').dumps(x)", #{x => Own})),
    {ok, {Back, [Abs]}} = py_context:eval(C, "(x, [y])", #{x => Own, y => fun erlang:abs/1}),
    ?assertEqual({Secret, 5}, {Back(), Abs(-5)}),
    ok = py_context:stop(C).

%% Those of a former helper mean nothing to the next one.
replaced(_) ->
    C = new(),
    ok = py_context:exec(C, "import pickle"),
    {ok, Bytes} = py_context:eval(C, "(pickle.dumps(x), 1)[0]", #{x => self()}),
    ok = py_context:renew(C),
    ok = py_context:exec(C, "import pickle"),
    ?assertMatch({error, {protocol, _}},
                 py_context:eval(C, "pickle.loads(x)", #{x => {bytes, Bytes}})),
    ok = py_context:stop(C).

objects_pass(_) ->
    C = new(),
    {ok, Ref} = py_context:eval(C, "[1, 2]", #{}, #{return => ref}),
    ?assertEqual({ok, 3}, py_context:call(C, builtins, sum, [Ref])),
    ok = py_context:stop(C).

trusted_as_ever(_) ->
    [?assertEqual({ok, Id}, py:eval("x", #{x => Id})) || Id <- ids()],
    {ok, Text} = py:eval("repr(x)", #{x => self()}),
    ?assert(binary:match(Text, atom_to_binary(node())) =/= nomatch),
    F = fun erlang:abs/1,
    ?assertEqual({ok, F}, py:eval("x", #{x => F})).

once() ->
    Policy = #{level => default, allow => [{send, passed}]},
    {ok, C} = py_context:new(#{policy => Policy, single_use => true, log_output => false}),
    {ready, Port, _, _, _} = py_registry:find(C),
    {ok, 2} = py_context:eval(C, "1 + 1"),
    ?assertEqual(none, py_registry:courier(Port)),
    {C, Port}.

%% Helpers that are used once have a courier when there is something for it to do:
%% one, of the context, however many come at once.
used_once(_) ->
    {C, Port} = once(),
    Pass = fun() -> [{ok, Id} = py_context:eval(C, "x", #{x => Id}) || Id <- ids()] end,
    Down = [Mon || _ <- lists:seq(1, 8), {_, Mon} <- [spawn_monitor(Pass)]],
    [receive {'DOWN', Mon, process, _, Why} -> ?assertEqual(normal, Why) end || Mon <- Down],
    Courier = py_registry:courier(Port),
    {links, Links} = process_info(C, links),
    ?assert(lists:member(Courier, Links)),
    ?assertEqual(process_info(C, group_leader), process_info(Courier, group_leader)),
    {ok, _} = py_context:eval(C, "__import__('erlang').send(x, 7)", #{x => self()}),
    receive 7 -> ok end,
    Mon = monitor(process, C),
    exit(Courier, kill),
    receive {'DOWN', Mon, process, C, killed} -> ok end,
    nothing_of(Port).

used_once_and_not_at_all(_) ->
    {C, Port} = once(),
    ok = py_context:stop(C),
    nothing_of(Port),
    ?assertEqual(none, py_handles:of_port(Port)),
    ?assertEqual(gone, py_courier:watch(Port, 1, self())).

nothing_of(Port) ->
    py_ct:eventually(fun() ->
                             {py_registry:courier(Port), py_registry:grants(Port),
                              py_registry:handles(Port)} =:= {none, none, none}
                     end).

%% The table is the courier's and goes with it.
ended(_) ->
    C = new(),
    {ok, _} = py_context:eval(C, "x", #{x => self()}),
    {ready, Port, _, _, _} = py_registry:find(C),
    ?assertNotEqual(none, py_handles:of_port(Port)),
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> py_handles:of_port(Port) =:= none end),
    ?assertEqual({error, forgotten}, py_handles:taken(gone, <<0:88, "py_handle">>, x)),
    ?assertEqual({ok, x}, py_handles:taken(gone, <<0:88, "py_candle">>, x)),
    ?assertEqual({ok, x}, py_handles:taken(gone, <<"x">>, x)).

nothing_is_left(_) ->
    Tables = fun() -> length([T || T <- ets:all(), ets:info(T, name) =:= py_handle]) end,
    ok = py_context:stop(new()),
    Before = py_ct:census(),
    [begin
         C = new(),
         {ok, _} = py_context:eval(C, "x", #{x => [make_ref() || _ <- lists:seq(1, 100)]}),
         ok = py_context:stop(C)
     end || _ <- lists:seq(1, 3)],
    ok = py_ct:settled(Before),
    py_ct:eventually(fun() -> Tables() =:= 0 orelse Tables() end).
