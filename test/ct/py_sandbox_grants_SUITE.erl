%% SPDX-License-Identifier: Apache-2.0
%% @doc What code makes of that which a policy grants: it gets no further than that.
%% After each case a bystander answers, and nothing is left.
-module(py_sandbox_grants_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [out_of_a_folder, links_into_a_folder, link_in_the_place_of_a_grant, marks_of_others,
     mark_of_a_device, read_only, set_user_id, large_files, proc_by_mistake,
     many_small_files, made_again, ports, other_architecture, numpy].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {log_output, false}]),
    {ok, Bystander} = bystander(),
    [{bystander, Bystander} | Config].

%% It outlives the process that starts it.
bystander() ->
    Self = self(),
    _ = spawn(fun() ->
                      Self ! {bystander, py_context:new(#{policy => default})},
                      receive after infinity -> ok end
              end),
    receive {bystander, Made} -> Made end.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(Case, Config) ->
    Dir = filename:join([proplists:get_value(priv_dir, Config), ?MODULE_STRING, Case]),
    [begin
         ok = filelib:ensure_path(filename:join(Dir, Sub)),
         ok = file:change_mode(filename:join(Dir, Sub), 8#777)
     end || Sub <- ["given", "other"]],
    [begin
         ok = file:write_file(filename:join(Dir, Name), "secret"),
         ok = file:change_mode(filename:join(Dir, Name), 8#666)
     end || Name <- ["other/secret", "given/file"]],
    %% Whatever its policy has made ready is there already.
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:stop(C),
    [{dir, Dir}, {before, py_ct:census()} | Config].

end_per_testcase(_, Config) ->
    ?assertEqual({ok, 2}, py_context:eval(proplists:get_value(bystander, Config), "1 + 1", #{},
                                          5000)),
    ?assertEqual([], py_ct:mailbox()),
    py_ct:settled(proplists:get_value(before, Config)).

given(Config, Kind) ->
    {Kind, [filename:join(proplists:get_value(dir, Config), "given")]}.

layers() ->
    {ok, #{default := Layers}} = py:sandbox_info(),
    Layers.

%% A context, in which GIVEN and OTHER are the two folders; it is stopped afterwards.
with(Config, Policy, Fun) ->
    Require = [seccomp, landlock] -- maps:get(without, Policy, []),
    {ok, C} = py_context:new(#{policy => Policy#{level => default, require => Require}}),
    Dir = proplists:get_value(dir, Config),
    ok = py_context:exec(C, ["import ctypes, errno, os, socket\n",
                             io_lib:format("GIVEN, OTHER = ~p, ~p\n",
                                           [filename:join(Dir, "given"),
                                            filename:join(Dir, "other")]),
                             "def tried(f, *args):\n"
                             "    try: f(*args)\n"
                             "    except OSError as e: return errno.errorcode[e.errno]\n"
                             "    return 'done'\n"]),
    Result = Fun(C),
    ok = py_context:stop(C),
    Result.

%% A folder for each job may have the name of the last one.
made_again(Config) ->
    Policy = #{allow => [Grant = given(Config, write)]},
    {_, [Given]} = Grant,
    Write = fun() ->
                    with(Config, Policy, fun(C) ->
                        ?assertEqual({ok, <<"done">>},
                                     py_context:eval(C, "tried(lambda: open(GIVEN + '/new', 'x'))"))
                    end)
            end,
    [begin
         Write(),
         ?assert(filelib:is_regular(filename:join(Given, "new"))),
         ok = file:del_dir_r(Given),
         ok = file:make_dir(Given),
         ok = file:change_mode(Given, 8#777)
     end || _ <- [1, 2, 3]],
    ok = file:del_dir_r(Given),
    {error, Gone} = py_context:new(#{policy => Policy#{level => default}}),
    ?assertMatch({match, _}, re:run(io_lib:format("~p", [Gone]), "given")),
    ok = file:make_dir(Given),
    ok = file:change_mode(Given, 8#777),
    Write().

%% Each way of saying it is tried by itself; `done' is none of the answers.
refused(C, Codes, Tries) ->
    [begin
         {ok, Said} = py_context:eval(C, ["tried(lambda: ", Try, ")"]),
         ?assert(lists:member(Said, Codes), {Try, Said})
     end || Try <- Tries],
    ok.

-define(NO_FILE, [<<"EACCES">>, <<"ENOENT">>, <<"EPERM">>]).
-define(NO_LINK, [<<"EACCES">>, <<"ENOENT">>, <<"EPERM">>, <<"EXDEV">>, <<"EROFS">>]).

%% Either guards files by itself, where there are both.
one_left_out() ->
    [[] | [[L] || [] <- [[landlock, namespaces] -- layers()], L <- [landlock, namespaces]]].

%% By dots, by a link that is there already, by the descriptor of the folder.
out_of_a_folder(Config) ->
    Dir = proplists:get_value(dir, Config),
    ok = file:make_symlink("../other/secret", filename:join(Dir, "given/link")),
    [with(Config, #{allow => [given(Config, Kind)], without => Without},
          fun(C) ->
                  ?assertEqual({ok, <<"done">>},
                               py_context:eval(C, "tried(lambda: open(GIVEN + '/file'))")),
                  refused(C, ?NO_FILE,
                          ["open(GIVEN + '/../other/secret')", "open(GIVEN + '/link')",
                           "os.open('../other/secret', os.O_RDONLY,"
                           " dir_fd=os.open(GIVEN, os.O_RDONLY))",
                           "open(OTHER + '/secret')"])
          end)
     || Kind <- [read, write], Without <- one_left_out()],
    ok.

%% What is elsewhere does not come in by a link, and what is here does not go out.
links_into_a_folder(Config) ->
    with(Config, #{allow => [given(Config, write)]},
         fun(C) ->
                 refused(C, ?NO_LINK,
                         ["os.link(OTHER + '/secret', GIVEN + '/mine')",
                          "os.rename(OTHER + '/secret', GIVEN + '/mine')",
                          "os.link(GIVEN + '/file', OTHER + '/file')",
                          "os.rename(GIVEN + '/file', OTHER + '/file')",
                          "(os.symlink(OTHER + '/secret', GIVEN + '/sym'),"
                          " open(GIVEN + '/sym'))"])
         end),
    ?assertEqual({ok, <<"secret">>}, file:read_file(filename:join(proplists:get_value(dir, Config),
                                                                  "other/secret"))).

%% What may be written can be made a link, where something else was granted within it.
link_in_the_place_of_a_grant(Config) ->
    Dir = proplists:get_value(dir, Config),
    [Given, Inner, Other] = [filename:join(Dir, D) || D <- ["given", "given/in", "other"]],
    ok = file:make_dir(Inner),
    ok = file:change_mode(Inner, 8#777),
    [begin
         Policy = #{allow => [{write, [Given]}, {Kind, [Inner]}], without => Without},
         with(Config, Policy,
              fun(C) ->
                      ok = py_context:exec(C, "os.rename(GIVEN + '/in', GIVEN + '/was')\n"
                                              "os.symlink(OTHER, GIVEN + '/in')")
              end),
         ?assertEqual({ok, Other}, file:read_link(Inner)),
         with(Config, Policy,
              fun(C) ->
                      refused(C, ?NO_FILE, ["open(GIVEN + '/in/secret')",
                                            "open(OTHER + '/secret')",
                                            "open(GIVEN + '/in/new', 'x')"]),
                      ok = py_context:exec(C, "os.unlink(GIVEN + '/in')\n"
                                              "os.rename(GIVEN + '/was', GIVEN + '/in')")
              end)
     end || Kind <- [read, write, import], Without <- one_left_out()],
    ok.

%% Landlock sees no changes of modes and times.
marks_of_others(Config) ->
    Secret = filename:join(proplists:get_value(dir, Config), "other/secret"),
    {ok, Before} = file:read_file_info(Secret),
    [with(Config, #{allow => [given(Config, write)], without => Without},
          fun(C) ->
                  refused(C, ?NO_FILE ++ [<<"EROFS">>],
                          ["os.chmod(OTHER + '/secret', 0o600)",
                           "os.utime(OTHER + '/secret', (1, 1))", "os.chmod(OTHER, 0o700)"])
          end)
     || Without <- [[], [namespaces], [namespaces, own_uid], [namespaces, landlock_scope]]],
    ?assertEqual({ok, Before}, file:read_file_info(Secret)).

%% One that everybody uses.
mark_of_a_device(Config) ->
    with(Config, #{allow => [given(Config, write)], without => [own_uid]},
         fun(C) ->
                 refused(C, ?NO_FILE ++ [<<"EROFS">>],
                         ["os.chmod('/dev/null', 0o666)", "os.utime('/dev/null')"]),
                 Write = "tried(lambda: open('/dev/null', 'w').write('x'))",
                 ?assertEqual({ok, <<"done">>}, py_context:eval(C, Write))
         end).

read_only(Config) ->
    [with(Config, #{allow => [given(Config, read)], without => Without},
          fun(C) ->
                  refused(C, [<<"EACCES">>, <<"EROFS">>, <<"EPERM">>],
                          ["open(GIVEN + '/file', 'w')", "open(GIVEN + '/file', 'a')",
                           "os.open(GIVEN + '/file', os.O_RDONLY | os.O_TRUNC)",
                           "os.truncate(GIVEN + '/file', 0)", "os.unlink(GIVEN + '/file')",
                           "os.utime(GIVEN + '/file')", "os.chmod(GIVEN + '/file', 0o600)",
                           "os.mkdir(GIVEN + '/dir')"])
          end)
     || Without <- one_left_out()],
    ?assertEqual({ok, <<"secret">>}, file:read_file(filename:join(proplists:get_value(dir, Config),
                                                                  "given/file"))).

%% Nor may it make what others would then execute as somebody else, or a device.
set_user_id(Config) ->
    with(Config, #{allow => [given(Config, write)]},
         fun(C) ->
                 ok = py_context:exec(C, "open(GIVEN + '/new', 'w').write('x')"),
                 refused(C, [<<"EPERM">>],
                         ["os.chmod(GIVEN + '/new', 0o4755)", "os.chmod(GIVEN + '/new', 0o2755)",
                          "os.open(GIVEN + '/s', os.O_CREAT | os.O_WRONLY, 0o4755)",
                          "os.chown(GIVEN + '/new', 0, 0)",
                          "os.mknod(GIVEN + '/node', 0o020600, os.makedev(1, 3))"]),
                 %% renameat2(2) that leaves a device in the place of the file
                 ?assertEqual({ok, -1},
                              py_context:eval(C, "ctypes.CDLL(None).syscall(316, -100,"
                                                 " (GIVEN + '/new').encode(), -100,"
                                                 " (GIVEN + '/was').encode(), 4)")),
                 ?assertEqual({ok, <<"done">>},
                              py_context:eval(C, "tried(os.chmod, GIVEN + '/new', 0o644)"))
         end).

%% `file_bytes' bounds each, holes included.
large_files(Config) ->
    with(Config, #{allow => [given(Config, write)], limits => #{file_bytes => 65536}},
         fun(C) ->
                 refused(C, [<<"EFBIG">>],
                         ["open(GIVEN + '/a', 'wb').write(bytes(100000))",
                          "os.truncate(os.open(GIVEN + '/b', os.O_CREAT | os.O_WRONLY), 1 << 40)",
                          "os.posix_fallocate(os.open(GIVEN + '/c', os.O_CREAT | os.O_WRONLY),"
                          " 0, 1 << 30)"]),
                 ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1"))
         end).

%% Whoever grants /proc does not give away the processes in it.
proc_by_mistake(Config) ->
    Bystander = proplists:get_value(bystander, Config),
    {ok, #{os_pid := Helper}} = py_context:info(Bystander),
    Pids = [{zygote, py_ct:zygote_pid(default)}, {helper, Helper},
            {vm, list_to_integer(os:getpid())}],
    [with(Config, #{allow => [{read, ["/proc"]}], without => Without},
          fun(C) ->
                  refused(C, ?NO_FILE ++ [<<"ESRCH">>],
                          [io_lib:format(Try, [Pid])
                           || {_, Pid} <- Pids,
                              Try <- ["open('/proc/~b/environ', 'rb').read(1)",
                                      "open('/proc/~b/mem', 'rb').read(1)",
                                      "open('/proc/~b/maps', 'rb').read(1)",
                                      "os.readlink('/proc/~b/fd/1')"]])
          end)
     || Without <- [[], [pid_namespace], [namespaces]], Without -- layers() =:= []],
    ok.

%% What a folder of its own may hold is bounded in number, too.
many_small_files(Config) ->
    lists:member(namespaces, layers()) orelse throw({skip, no_namespaces}),
    with(Config, #{allow => [{tmp, 1 bsl 20}], limits => #{wall_ms => 60000}},
         fun(C) ->
                 ok = py_context:exec(C, "def fill():\n"
                                         "    n = 0\n"
                                         "    while n < 100000:\n"
                                         "        try: open('/tmp/%d' % n, 'x').close()\n"
                                         "        except OSError as e: return e.errno\n"
                                         "        n += 1\n"
                                         "    return n\n"),
                 ?assertEqual({ok, 28}, py_context:call(C, '__main__', fill, []))
         end).

%% TCP, to these ports.
ports(Config) ->
    lists:member(landlock_net, layers()) orelse throw({skip, no_landlock_net}),
    [{First, Port}, {Second, Other}] = [listens() || _ <- [1, 2]],
    Connect = fun(To) -> io_lib:format("socket.create_connection(('127.0.0.1', ~b), 5)", [To]) end,
    with(Config, #{allow => [{net, connect, [Port]}]},
         fun(C) ->
                 ?assertEqual({ok, <<"done">>},
                              py_context:eval(C, ["tried(lambda: ", Connect(Port), ")"])),
                 ?assertEqual({ok, <<"done">>},
                              py_context:eval(C, "tried(lambda: socket.socket().setsockopt("
                                                 "socket.IPPROTO_TCP, socket.TCP_NODELAY, 1))")),
                 Fast = "socket.socket().~s 0x20000000, ('127.0.0.1', ~b))",
                 refused(C, [<<"EACCES">>, <<"EPERM">>, <<"ENOSYS">>],
                         [Connect(Other), io_lib:format(Fast, ["sendto(b'x',", Other]),
                          io_lib:format(Fast, ["sendmsg([b'x'], [],", Other]),
                          "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
                          "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
                          "socket.socket(socket.AF_UNIX)", "socket.socket().bind(('', 0))",
                          "socket.socket().listen()",
                          "socket.socket().setsockopt(socket.IPPROTO_TCP, 31, b'tls')",
                          "socket.socket().setsockopt(socket.SOL_SOCKET, 26, bytes(16))"])
         end),
    [ok = gen_tcp:close(S) || S <- [First, Second]].

listens() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    {Socket, Port}.

%% mov eax, 20; int 0x80; ret
-define(FOREIGN, "import mmap\n"
                 "code = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 7)\n"
                 "code.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')\n"
                 "at = ctypes.addressof(ctypes.c_char.from_buffer(code))\n").

%% The entry of 32-bit programs: the filter ends it; a kernel without that entry
%% makes it a fault.
other_architecture(Config) ->
    case erlang:system_info(system_architecture) of
        "x86_64" ++ _ -> ok;
        _ -> throw({skip, no_such_entry})
    end,
    Policy = #{allow => [exec_memory]},
    with(Config, Policy,
         fun(C) ->
                 ok = py_context:exec(C, ?FOREIGN),
                 Result = py_context:eval(C, "ctypes.CFUNCTYPE(ctypes.c_int)(at)()"),
                 ?assert(is_its_end(Result), Result)
         end).

is_its_end({error, {sandbox, {syscall, unknown}}}) -> true;
is_its_end({error, {crashed, #{signal := sigsegv}}}) -> true;
is_its_end(_) -> false.

%% With one thread, with two, and where there are none.  Without enough memory it may
%% fail or run out of time, but the context goes on.
numpy(Config) ->
    case py:exec("import numpy") of
        ok -> ok;
        {error, _} -> throw({skip, no_numpy})
    end,
    Code = "import os\nos.environ['OPENBLAS_NUM_THREADS'] = '~b'\nimport numpy\n"
           "m = numpy.ones((200, 200))\nx = float((m @ m)[0, 0])",
    [with(Config, Policy#{limits => Limits},
          fun(C) ->
                  Result = py_context:exec(C, io_lib:format(Code, [Threads])),
                  case Expected of
                      ok ->
                          ?assertEqual(ok, Result),
                          ?assertEqual({ok, 200.0}, py_context:eval(C, "x"));
                      any ->
                          ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1"))
                  end
          end)
     || {Expected, Threads, Policy, Limits} <-
            [{ok, 1, #{}, #{wall_ms => 60000}}, {ok, 2, #{}, #{wall_ms => 60000}},
             {ok, 1, #{deny => [threads]}, #{wall_ms => 60000}},
             {any, 1, #{}, #{wall_ms => 3000, memory => 24 bsl 20}}]],
    ok.
