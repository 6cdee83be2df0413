%% SPDX-License-Identifier: Apache-2.0
%% @doc Code that tries what it must not, at each level and with layers left out
%% (py_sandbox_cases); after each case a bystander and the VM answer.
-module(py_sandbox_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(MODULES, [ctypes, mmap, re, resource, signal, socket, subprocess, threading, time, json,
                  gc, marshal]).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [{group, trusted}, {group, default}, {group, strict}, {group, no_landlock},
     {group, no_namespaces}, {group, no_own_uid}, {group, no_seccomp},
     {group, begun_anew}, begun_anew, info, layers_are_told, unavailable, grants,
     calls, sends, services, shared_memory, tmp, read_and_write, limits, cgroup, process_ids,
     pools,
     nothing_is_left].

groups() ->
    Cases = [cases, violations],
    [{trusted, [], [cases]}, {default, [], Cases ++ [unnamed_violations]},
     {strict, [], Cases},
     {no_landlock, [], Cases}, {no_namespaces, [], Cases}, {no_own_uid, [], Cases},
     {no_seccomp, [], [cases]}, {begun_anew, [], Cases}].

init_per_suite(Config) ->
    ok = start(),
    Dir = filename:join(proplists:get_value(priv_dir, Config), "folder"),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    [{dir, Dir} | Config].

start() ->
    py_ct:start([{contexts, 1}, {log_output, false}, {restart, #{free => 1000}},
                 %% Not the default one, which the launcher may have started.
                 {runtimes, #{default => #{},
                              hiding => #{env => #{"TERRARIUM_TEST_SECRET" => "hidden"}}}}]).

end_per_suite(_) ->
    py_ct:stop().

init_per_group(Group, Config) ->
    case missing(Group) of
        [] -> [{policy, policy(Group)} | Config];
        Layers -> {skip, {not_on_this_host, Layers}}
    end.

end_per_group(_, _) ->
    ok.

level(Group) when Group =:= trusted; Group =:= strict -> Group;
level(_) -> default.

policy(trusted) -> trusted;
policy(Group) ->
    maps:merge(#{level => level(Group), limits => #{wall_ms => 30000}, preload => ?MODULES},
               without(Group)).

without(no_landlock) -> #{without => [landlock], require => [seccomp, namespaces]};
without(no_seccomp) -> #{without => [seccomp], require => [landlock]};
without(no_namespaces) -> #{without => [namespaces]};
without(no_own_uid) -> #{without => [own_uid]};
without(begun_anew) -> #{spawn => exec};
without(_) -> #{}.

%% What a group is about must be there.
missing(no_landlock) -> [namespaces] -- layers();
missing(no_seccomp) -> [landlock, landlock_scope, namespaces, own_uid] -- layers();
missing(trusted) -> [];
missing(_) -> [seccomp, landlock] -- layers().

layers() ->
    {ok, #{default := Layers}} = py:sandbox_info(),
    Layers.

%%% The cases

cases(Config) ->
    {ok, C} = context(Config),
    {ok, Bystander} = py_context:new(#{policy => default}),
    ok = py_context:exec(Bystander, "x = 7"),
    Given = given(Config, Bystander),
    ok = prepare(C, Given),
    Group = proplists:get_value(name, proplists:get_value(tc_group_properties, Config)),
    Wrong = lists:append([attempt(C, Bystander, Given, Case, py_sandbox_cases:expected(Group, E))
                          || {_, _, E} = Case <- py_sandbox_cases:all()]),
    ok = py_context:stop(C),
    ok = py_context:stop(Bystander),
    ?assertEqual([], Wrong).

context(Config) ->
    py_context:new(#{policy => proplists:get_value(policy, Config), grace_ms => 200,
                     runtime => hiding}).

given(Config, Bystander) ->
    Dir = proplists:get_value(dir, Config),
    ok = file:write_file(filename:join(Dir, "secret"), "secret"),
    %% As it is known outside; within it may have another.
    {ok, #{os_pid := Os}} = py_context:info(Bystander),
    io_lib:format("SECRET = ~p\nFOLDER = ~p\nBYSTANDER = ~b\nVM = ~s\n",
                  [filename:join(Dir, "secret"), Dir, Os, os:getpid()]).

prepare(C, Given) ->
    py_context:exec(C, [py_sandbox_cases:prelude(), Given]).

attempt(_, _, _, _, none) ->
    [];
attempt(C, Bystander, Given, {Name, Code, _}, Expected) ->
    Body = [["    ", Line, $\n] || Line <- string:split(Code, "\n", all)],
    case py_context:exec(C, ["def case_():\n", Body]) of
        ok -> ok;
        {error, {"NameError", _}} -> ok
    end,
    Result = py_context:call(C, '__main__', 'case_', [], #{}, time(Expected)),
    %% Another one, or the same: it answers, and nobody has noticed.
    {ok, 7} = py_context:eval(Bystander, "x"),
    ok = again(C, Given, Expected),
    [{Name, Expected, Result} || not fits(Expected, Result)].

%% A helper that lives may be damaged, and not show it yet: it is replaced before the
%% next case.
again(C, Given, Expected) ->
    case py_context:eval(C, "raw and case_ and 1 + 1", #{}, 5000) of
        {ok, 2} when Expected =/= survives ->
            ok;
        _ ->
            ok = py_context:renew(C),
            prepare(C, Given)
    end.

time(timeout) -> 300;
time(_) -> 20000.

fits({value, V}, {ok, V}) -> true;
fits({most, N}, {ok, V}) -> is_integer(V) andalso V =< N;
fits({least, N}, {ok, V}) -> is_integer(V) andalso V >= N;
fits({raises, Types}, {error, {Type, _}}) -> lists:member(Type, Types);
fits(violation, {error, {sandbox, {syscall, _}}}) -> true;
fits({crashed, Ends}, {error, {crashed, Report}}) ->
    lists:member(maps:get(signal, Report, maps:get(exit_status, Report, none)), Ends);
fits(timeout, {error, timeout}) -> true;
fits(survives, _) -> true;
fits(_, _) -> false.

%% Each of them ends the process, and only that; without a sandbox none does.
violations(Config) ->
    {ok, C} = context(Config),
    ok = py_context:exec(C, py_sandbox_cases:prelude()),
    Wrong = [{Name, R} || {Name, Nr} <- py_sandbox_cases:calls(),
                          R <- [violate(C, Nr)],
                          R =/= {error, {sandbox, {syscall, atom_to_binary(Name)}}}],
    ok = py_context:stop(C),
    ?assertEqual([], Wrong),
    stubborn_violations(Config).

violate(C, Nr) ->
    ok = py_context:exec(C, py_sandbox_cases:prelude()),
    py_context:eval(C, ["raw(", integer_to_list(Nr), ", 0, 0, 0, 0, 0, 0)"]).

%% Nobody outlives it who tries to change what the signal does before.
stubborn_violations(Config) ->
    {ok, C} = context(Config),
    Wrong = [{Code, R} || {Code, Name} <- py_sandbox_cases:stubborn(),
                          R <- [insist(C, Code)],
                          R =/= {error, {sandbox, {syscall, Name}}}],
    ok = py_context:stop(C),
    ?assertEqual([], Wrong).

insist(C, Code) ->
    ok = py_context:exec(C, [py_sandbox_cases:prelude(), py_sandbox_cases:stubbornness()]),
    py_context:exec(C, [Code, "\nraw(101, 0, 0, 0, 0)"]).

unnamed_violations(Config) ->
    Policy = (proplists:get_value(policy, Config))#{diagnose => false},
    {ok, C} = py_context:new(#{policy => Policy}),
    ok = py_context:exec(C, py_sandbox_cases:prelude()),
    ?assertEqual({error, {sandbox, {syscall, unknown}}}, violate(C, 101)),
    ok = py_context:stop(C).

%% Hash seeds, and where a module lies.
begun_anew(_) ->
    Of = fun(How, Level) ->
                 {ok, C} = py_context:new(#{policy => #{level => Level, spawn => How}}),
                 {ok, Seen} = py_context:eval(C, "(hash('x'), id(__import__('os')))"),
                 ok = py_context:stop(C),
                 Seen
         end,
    Forked = Of(fork, default),
    ?assertEqual(Forked, Of(fork, strict)),
    Seen = [Of(exec, Level) || Level <- [default, default, strict, trusted]],
    [?assertEqual(5, length(lists:usort([element(I, S) || S <- [Forked | Seen]])))
     || I <- [1, 2]],
    {error, {sandbox, {failed, Text}}} =
        py_context:new(#{policy => #{level => default, spawn => exec,
                                     preload => [no_such_module]}}),
    ?assert(binary:match(Text, <<"no_such_module">>) =/= nomatch).

%%% What is told

info(_) ->
    {ok, #{default := Default, strict := Strict}} = py:sandbox_info(),
    ?assert(lists:member(seccomp, Default)),
    ?assertEqual(Default, Strict),
    ?assertMatch({error, {runtime_failed, nothing, _}}, py_sandbox:info(nothing)).

layers_are_told(_) ->
    {ok, C} = py_context:new(#{policy => default}),
    {ok, #{sandbox := #{level := default, layers := Layers}}} = py_context:info(C),
    ?assertEqual(layers(), Layers),
    {ok, T} = py_context:new(#{}),
    {ok, #{sandbox := #{level := trusted, layers := []}}} = py_context:info(T),
    {ok, N} = py_context:new(#{policy => #{level => default, without => [namespaces]}}),
    {ok, #{sandbox := #{layers := Fewer}}} = py_context:info(N),
    ?assertNot(lists:member(namespaces, Fewer)),
    [ok = py_context:stop(X) || X <- [C, T, N]].

unavailable(_) ->
    Policy = #{level => default, without => [landlock, namespaces],
               require => [landlock, namespaces]},
    ?assertEqual({error, {sandbox, {unavailable, [landlock, namespaces]}}},
                 py_context:new(#{policy => Policy})),
    Tmp = #{level => default, without => [namespaces], allow => [{tmp, 4096}]},
    ?assertEqual({error, {sandbox, {unavailable, [namespaces]}}},
                 py_context:new(#{policy => Tmp})),
    {error, {spawn_failed, Why}} =
        py_context:new(#{policy => #{level => default, allow => [{read, ["/no/such/place"]}]}}),
    ?assert(binary:match(Why, <<"/no/such/place">>) =/= nomatch),
    {error, {sandbox, {failed, Text}}} =
        py_context:new(#{policy => #{level => strict, preload => [no_such_module]}}),
    ?assert(binary:match(Text, <<"no_such_module">>) =/= nomatch).

%%% Grants

grants(_) ->
    {ok, _} = py:eval("1"),
    ok = py:register_function(py_sandbox_open, fun([X]) -> X + 1 end),
    ok = py:register_function(py_sandbox_shut, fun([X]) -> X + 1 end),
    Policy = #{level => default, allow => [{call, [py_sandbox_open]}]},
    {ok, C} = py_context:new(#{policy => Policy, imports => [erlang]}),
    ok = py_context:exec(C, "import erlang"),
    ?assertEqual({ok, 2}, py_context:eval(C, "erlang.call('py_sandbox_open', 1)")),
    {error, {Type, _}} = py_context:eval(C, "erlang.call('py_sandbox_shut', 1)"),
    {error, {Type, _}} = py_context:eval(C, "erlang.call('no_such_function', 1)"),
    ?assertEqual({ok, 2}, py:eval("__import__('erlang').call('py_sandbox_shut', 1)")),
    ok = py_context:stop(C).

%% A thread's calls belong to no request, and are asked the same.
calls(_) ->
    ok = py:register_function(py_sandbox_shut, fun([X]) -> X + 1 end),
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:exec(C, "import erlang, threading\n"
                            "said = []\n"
                            "def f():\n"
                            "    try: said.append(erlang.call('py_sandbox_shut', 1))\n"
                            "    except BaseException as e: said.append('refused')\n"
                            "t = threading.Thread(target=f); t.start(); t.join()\n"),
    ?assertEqual({ok, [<<"refused">>]}, py_context:eval(C, "said")),
    ok = py_context:stop(C).

sends(_) ->
    true = register(py_sandbox_in, self()),
    Policy = #{level => default, allow => [{send, [py_sandbox_in]}]},
    {ok, C} = py_context:new(#{policy => Policy}),
    ok = py_context:exec(C, "import erlang\nerlang.send('py_sandbox_in', 5)"),
    receive 5 -> ok after 10000 -> ct:fail(no_message) end,
    ?assertMatch({error, _}, py_context:exec(C, "erlang.send('init', 5)")),
    {ok, D} = py_context:new(#{policy => default}),
    ?assertMatch({error, _},
                 py_context:exec(D, "import erlang\nerlang.send('py_sandbox_in', 6)")),
    receive 6 -> ct:fail(sent) after 0 -> ok end,
    true = unregister(py_sandbox_in),
    [ok = py_context:stop(X) || X <- [C, D]].

services(_) ->
    ok = py:state_store(py_sandbox_key, 1),
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:exec(C, "import erlang"),
    [?assertMatch({error, _}, py_context:eval(C, Code))
     || Code <- ["erlang.state_get('py_sandbox_key')", "erlang.state_set('py_sandbox_key', 2)",
                 "erlang.state_keys()", "erlang.whereis('init')", "erlang.self()",
                 "erlang.Channel()"]],
    ?assertEqual({ok, 1}, py:state_fetch(py_sandbox_key)),
    ok = py_context:stop(C).

%% Its own, empty, and no larger than it says.
%% What is passed can be read at each level, and comes back as a copy.
shared_memory(_) ->
    {ok, Shm} = py_shm:new(<<"passed">>),
    lists:foreach(fun(Level) ->
                          {ok, C} = py_context:new(#{policy => Level}),
                          ?assertEqual({ok, {<<"passed">>, true}},
                                       py_context:eval(C, "(bytes(x), x.readonly)", #{x => Shm})),
                          ?assertEqual({ok, [<<"passed">>, <<"passed">>]},
                                       py_context:eval(C, "[x, x.obj]", #{x => Shm})),
                          Make = "__import__('erlang').SharedMemory(b'made')",
                          ?assertMatch({error, {"NameError", _}}, py_context:eval(C, Make)),
                          ok = py_context:stop(C)
                  end, [default, strict]).

tmp(_) ->
    case lists:member(namespaces, layers()) of
        true -> own_tmp();
        false -> {skip, no_namespaces}
    end.

own_tmp() ->
    Policy = #{level => default, allow => [{tmp, 1 bsl 20}], limits => #{file_bytes => 1 bsl 30}},
    {ok, C} = py_context:new(#{policy => Policy}),
    {ok, D} = py_context:new(#{policy => Policy}),
    ok = py_context:exec(C, "open('/tmp/x', 'w').write('here')"),
    ?assertEqual({ok, <<"here">>}, py_context:eval(C, "open('/tmp/x').read()")),
    ?assertMatch({error, {"FileNotFoundError", _}}, py_context:eval(D, "open('/tmp/x').read()")),
    {error, {"OSError", Why}} =
        py_context:exec(C, "for i in range(100):\n"
                           "    open('/tmp/%d' % i, 'wb').write(bytes(1 << 16))"),
    ?assert(string:find(Why, "No space left") =/= nomatch),
    [ok = py_context:stop(X) || X <- [C, D]].

read_and_write(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "granted"),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    ok = file:change_mode(Dir, 8#777),
    ok = file:write_file(filename:join(Dir, "in"), "in"),
    Given = #{dir => unicode:characters_to_binary(Dir)},
    {ok, R} = py_context:new(#{policy => #{level => default, allow => [{read, [Dir]}]}}),
    ?assertEqual({ok, <<"in">>}, py_context:eval(R, "open(dir + '/in').read()", Given)),
    ?assertMatch({error, {_, _}}, py_context:eval(R, "open(dir + '/out', 'w')", Given)),
    {ok, W} = py_context:new(#{policy => #{level => default, allow => [{write, [Dir]}]}}),
    ?assertEqual({ok, 3}, py_context:eval(W, "open(dir + '/out', 'w').write('out')", Given)),
    ?assertEqual({ok, <<"out">>}, file:read_file(filename:join(Dir, "out"))),
    [ok = py_context:stop(X) || X <- [R, W]].

%%% Limits

limits(_) ->
    New = fun(Limits) ->
                  {ok, C} = py_context:new(#{policy => #{level => default, limits => Limits},
                                             grace_ms => 100}),
                  C
          end,
    Wall = New(#{wall_ms => 200}),
    ok = py_context:exec(Wall, "kept = 5"),
    ?assertEqual({error, timeout}, py_context:exec(Wall, "while True: pass")),
    ?assertEqual({ok, 5}, py_context:eval(Wall, "kept")),
    Cpu = New(#{cpu_ms => 200, wall_ms => 60000}),
    ?assertEqual({error, {limit, cpu_ms}}, py_context:exec(Cpu, "while True: pass")),
    Output = New(#{output_bytes => 100000, wall_ms => 60000}),
    Flood = "import os\nwhile True: os.write(1, b'x' * 1000)",
    ?assertEqual({error, {limit, output_bytes}}, py_context:exec(Output, Flood)),
    Print = "while True: print('x' * 1000)",
    ?assertEqual({error, {limit, output_bytes}},
                 py_context:exec(Output, Print, #{output => capture})),
    Trusted = #{level => trusted, limits => #{memory => 256 bsl 20}},
    {ok, T} = py_context:new(#{policy => Trusted}),
    ?assertMatch({error, {"MemoryError", _}}, py_context:eval(T, "len(bytearray(1 << 30))")),
    ?assertMatch({ok, <<_/binary>>}, py_context:eval(T, "open('/etc/passwd').read()")),
    [ok = py_context:stop(X) || X <- [Wall, Cpu, Output, T]].

%% What no limit of a process counts.
cgroup(_) ->
    ?assertEqual({error, {sandbox, {unavailable, [cgroup]}}},
                 py_context:new(#{policy => #{level => default, without => [cgroup],
                                              require => [cgroup]}})),
    case lists:member(cgroup, layers()) of
        true -> memory_of_a_group(), processes_of_a_group();
        false -> {skip, no_cgroup}
    end.

processes_of_a_group() ->
    Policy = #{level => trusted, limits => #{procs => 3}},
    {error, {sandbox, {unavailable, [cgroup]}}} =
        py_context:new(#{policy => Policy#{without => [cgroup]}}),
    {ok, C} = py_context:new(#{policy => Policy}),
    Fork = "import os, time\n"
           "def fork():\n"
           "    for n in range(10):\n"
           "        try: pid = os.fork()\n"
           "        except BlockingIOError: return n\n"
           "        if pid == 0: time.sleep(1000)\n",
    ok = py_context:exec(C, Fork),
    ?assertEqual({ok, 3}, py_context:call(C, '__main__', fork, [])),
    ok = py_context:stop(C).

memory_of_a_group() ->
    {ok, C} = py_context:new(#{policy => #{level => trusted, limits => #{memory => 64 bsl 20}}}),
    {ok, #{sandbox := #{layers := Layers}}} = py_context:info(C),
    ?assert(lists:member(cgroup, Layers)),
    Share = "import mmap\nm = mmap.mmap(-1, 1 << 28)\n"
            "for i in range(0, 1 << 28, 4096): m[i] = 1\n",
    ?assertEqual({error, {limit, memory}}, py_context:exec(C, Share)),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    ok = py_context:stop(C).

%% We know it by its number out here, whatever it is called inside.
process_ids(_) ->
    {ok, C} = py_context:new(#{policy => default, grace_ms => 60000}),
    {ok, #{os_pid := OsPid, sandbox := #{layers := Layers}}} = py_context:info(C),
    ?assert(py_ct:alive(OsPid)),
    {ok, Inside} = py_context:eval(C, "__import__('os').getpid()"),
    ?assertEqual(lists:member(pid_namespace, Layers), Inside =/= OsPid),
    ok = py_context:exec(C, "def spin():\n    while True: pass\n"),
    {Pid, Ref} = spawn_monitor(fun() ->
                                       exit(py_context:call(C, '__main__', spin, [], #{}, 2000))
                               end),
    py_ct:eventually(fun() ->
                             {ok, Text} = py_context:backtrace(C),
                             binary:match(Text, <<"in spin">>) =/= nomatch orelse Text
                     end),
    receive {'DOWN', Ref, process, Pid, Result} -> ?assertEqual({error, timeout}, Result) end,
    ?assertEqual({ok, Inside}, py_context:eval(C, "__import__('os').getpid()")),
    ok = py_context:stop(C).

%%% Pools

pools(_) ->
    {error, {invalid, level, moat}} = py_context_router:start_pool(sandboxed, 2, #{policy => moat}),
    {ok, _} = py_context_router:start_pool(sandboxed, 2, #{policy => strict}),
    [?assertMatch({error, {"PermissionError", _}},
                  py:call(sandboxed, os, fork, [])) || _ <- lists:seq(1, 4)],
    ?assertEqual({ok, 4.0}, py:call(sandboxed, math, sqrt, [16])),
    ok = py_context_router:stop_pool(sandboxed).

%%% After all of it

nothing_is_left(_) ->
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:stop(C),
    Before = py_ct:census(),
    [begin
         {ok, X} = py_context:new(#{policy => Level}),
         _ = py_context:exec(X, Code),
         ok = py_context:stop(X)
     end || Level <- [default, strict], Code <- ["1", "import os; os.abort()"],
            _ <- lists:seq(1, 5)],
    ok = py_ct:settled(Before).
